/**
 * What PostgreSQL's postmaster does, case by case, and what ours makes of it. The numbers are names: tests begin their
 * titles with them, and some are free.
 */
export type Case =
  & {
    readonly number: number
    /** What PostgreSQL does, in one line. */
    readonly line: string
  }
  & (
    /** Ours does the same. */
    | { readonly verdict: "same" }
    /** Ours does something else, on purpose; `because` names the decision. */
    | { readonly verdict: "departs"; readonly because: string }
    /** There is nothing here that could do it. */
    | { readonly verdict: "inapplicable"; readonly because: string }
  )

const same = (number: number, line: string): Case => ({ number, line, verdict: "same" })
const departs = (number: number, line: string, because: string): Case => ({ number, line, verdict: "departs", because })
const inapplicable = (number: number, line: string, because: string): Case => ({
  number,
  line,
  verdict: "inapplicable",
  because
})

const holders = "nobody is named to be notified; whoever holds a handle subscribes"
const oneOwner = "the table has one owner and one size; nobody else can write it"
const oneTurn = "every fact is a turn of its own"
const sleep = "sleep is exact: until the next thing that is due, without a cap"

export interface Group {
  readonly title: string
  readonly cases: ReadonlyArray<Case>
}

export const groups: ReadonlyArray<Group> = [
  {
    title: "Checking a registration",
    cases: [
      departs(1, "No shared memory: refused", "isolated workers exist"),
      departs(
        2,
        "Database without shared memory: refused, for the shared memory",
        "the words are those of the time when isolated workers existed"
      ),
      same(3, "Database at postmaster start: refused"),
      same(4, "Several faults at once: one error, the first in order"),
      same(5, "Restart never, 0 s, 1 s, one day: accepted"),
      same(6, "Restart of 86,401 s: accepted, the bound is not one day"),
      same(7, "Restart of 86,400,000 s: accepted; one second more: refused"),
      departs(8, "Negative restart other than -1: refused", "-1 is refused too; never is a word of its own"),
      same(9, "Parallel class with a restart: refused, after the interval is checked"),
      departs(10, "Interruptible without a database: refused", "a worker may name any resource, not only a database"),
      same(11, "Empty type: the name is the type, in logs and by pid"),
      same(12, "Refused: no slot, no generation, no signal, no place in the class"),
      departs(13, "A bad preload: one line in the log, the others run", "a failing preload fails the layer")
    ]
  },
  {
    title: "Preloads",
    cases: [
      departs(14, "More preloads than slots: those too many are logged", "a failing preload fails the layer"),
      departs(
        15,
        "One slot: the detail is in the singular",
        "the refusal says how many slots there are and who has them"
      ),
      inapplicable(17, "A preload that asks for notification: refused", holders),
      inapplicable(18, "Too many and asking for notification: the notification is reported", holders),
      departs(19, "A preload after the table exists: error", "so is a registration before it"),
      inapplicable(
        20,
        "A preload inside a worker: ignored",
        "the preloads are an argument of the layer; a worker has no way to add to them"
      ),
      departs(22, "Newest first", "workers start in the order in which they were registered"),
      departs(
        23,
        "Early preloads start before the ready line, the others after it; newest first",
        "workers start in the order in which they were registered"
      ),
      same(24, "Dynamic workers take the slots that preloads leave"),
      same(25, "The slot of a preload that is done: next generation 1")
    ]
  },
  {
    title: "Dynamic registration and the table",
    cases: [
      same(27, "A full table refuses and changes nothing"),
      same(28, "The lowest free slot is taken"),
      same(29, "The generation of a slot grows by one at every taking"),
      same(30, "A stale handle reads Stopped and touches nobody"),
      same(32, "Registering without wanting the handle works"),
      same(33, "A registration is seen whole or not at all"),
      same(34, "Several registrations before anybody looks: all are taken at the next look"),
      same(36, "What the registrant does to its copy later is without effect"),
      same(37, "Class limit: refused though slots are free, accepted after one has ended"),
      same(38, "Class limit 0: always refused, others unaffected"),
      inapplicable(39, "The class counters wrap", "a class is counted by its tenants; there are no counters to wrap"),
      departs(
        41,
        "After a crash the quota of a class is whole",
        "isolated workers outlive the crash, and keep their place in the class"
      )
    ]
  },
  {
    title: "The postmaster reads the table",
    cases: [
      inapplicable(42, "A table of another size: logged, nothing is absorbed", oneOwner),
      inapplicable(43, "When the size is right again, what was pending is absorbed", oneOwner),
      departs(44, "A name of 96 bytes: 95 are kept", "a name is refused, never cut"),
      departs(
        46,
        "Logs use the sanitised name, the look-up by pid the original",
        "names that would have to be sanitised are refused, so there is one text"
      ),
      inapplicable(47, "An unknown process to notify: nobody is", holders),
      inapplicable(48, "No process to notify: nobody is", holders),
      same(49, "The registrant is gone before the registration is read: the worker starts all the same"),
      same(50, "The registrant is gone later: its workers are unaffected"),
      same(52, "Terminate: exactly one SIGTERM, whatever happens before the end"),
      same(54, "Terminate while waiting for its start: never launched"),
      inapplicable(55, "Out of memory while reading: later slots wait", "a registration is taken whole or refused"),
      same(56, "Nothing that a free slot holds is looked at"),
      same(57, "A signal without a change: only a launch pass"),
      same(58, "A registration while stopping: accepted, and thrown out at once")
    ]
  },
  {
    title: "Launching",
    cases: [
      same(59, "Which start time may start in which phase"),
      same(60, "ConsistentState starts with RecoveryFinished if there is no consistent phase"),
      same(61, "A worker keeps running when the next phase is reached"),
      same(62, "Nothing is launched while recovering, and nobody spins"),
      same(64, "250 eligible: passes of 100, with everything else heard in between"),
      departs(65, "Exactly 100 eligible: an empty pass follows", `no empty pass; ${sleep}`),
      same(66, "Fast shutdown after the first pass: the others never start, their waiters are told"),
      departs(
        67,
        "A failed birth: NotYetStarted, again after the interval, others are not held up",
        "the words and the level (a warning) are ours"
      ),
      departs(69, "A failed birth with interval 0: at once, for ever", "failed births are damped"),
      inapplicable(70, "No child slot: like a failed birth", "a slot is the place of its child; they cannot differ"),
      same(71, "A birth: the pid is published before anybody is told; the failure is forgotten"),
      same(72, "Started means that the process exists, not that main runs"),
      same(73, "A running worker is never launched")
    ]
  },
  {
    title: "Exits",
    cases: [
      same(74, "Exit 0: the registration ends, whatever its interval"),
      same(75, "The old rule: exit 0 starts again at once"),
      same(76, "Exit 1: Stopped, then Started again, same slot and handle, another pid"),
      same(77, "Restart is due at equality"),
      same(78, "Exit 1, never: the slot is free before the waiter wakes"),
      same(79, "Exit 1 after terminate: the end"),
      same(80, "SIGTERM from outside: exit 1, and it comes back"),
      same(81, "An attached worker that exits badly or dies of a signal: a crash of all attached"),
      same(82, "An isolated worker's crash is its own affair"),
      same(84, "Exit 0 or 1 before attaching: no crash"),
      departs(85, "The words and levels of exit lines", "signals by their name alone; a crash is a warning"),
      same(86, "A worker that registered another one dies: the other lives"),
      departs(88, "20 exits pending at once: one pass", oneTurn),
      inapplicable(89, "Exit of an unknown child", "a spawner reports the children it was told to bear, and no others"),
      departs(90, "The clock is set back: the restart waits for it", "time is monotonic: never earlier, never later"),
      same(92, "Interval 0: started again in the same turn")
    ]
  },
  {
    title: "A crash of all attached workers",
    cases: [
      departs(93, "One crashes: all others SIGQUIT, then a new start", "isolated workers keep running"),
      same(94, "A registration meanwhile: accepted, and thrown out at once"),
      departs(95, "A second bad exit meanwhile: no line, no signals", "every exit is an event, at debug level"),
      departs(96, "Whoever dies of the SIGQUIT: not logged, no crash", "every exit is an event, at debug level"),
      departs(97, "Deaf to SIGQUIT: SIGKILL after 5 s, once", "the delay is a setting; the line is a warning"),
      same(98, "Afterwards: services start at once, whatever their interval; jobs are gone"),
      departs(99, "Afterwards nobody is notified any more", "old handles stay true"),
      departs(101, "A crash right after every start: no damping", "crash cycles are damped"),
      same(102, "Restart after a crash switched off: abnormal end, nothing is started again"),
      same(103, "A crash during fast shutdown: abnormal end, no new start"),
      departs(104, "Waiters at the crash die too", "every wait ends: stopped, or a new start")
    ]
  },
  {
    title: "Shutdown",
    cases: [
      same(105, "Smart without clients: SIGTERM at once, exit 0 when all are gone"),
      departs(106, "Smart with a client: workers go on and new ones start", "what is waited for are jobs"),
      departs(107, "Smart: restart timers are not honoured", "restart timers run during a smart shutdown"),
      departs(108, "Fast from Run: two lines, before it one", "there are no transactions to abort: one line always"),
      same(109, "Fast: nobody is started again"),
      same(111, "A registration during shutdown: see 58"),
      same(112, "Immediate: SIGQUIT, SIGKILL for the deaf, a clean end unless a crash preceded"),
      same(114, "Each harsher request escalates; a gentler one is ignored and not logged"),
      same(115, "A shutdown request and an exit at once: the request is heard first"),
      same(116, "Reload reaches workers in Run and smart, not in fast"),
      same(117, "The end comes only when no child is left")
    ]
  },
  {
    title: "Handles and waiting",
    cases: [
      same(118, "Status: NotYetStarted, Started with pid, Stopped; a forgotten one is Stopped"),
      same(119, "Waiting for the startup never answers NotYetStarted"),
      same(120, "Started and gone before anybody looks: Stopped"),
      same(121, "The postmaster dies: every wait ends with PostmasterDied"),
      departs(124, "Waiting for the shutdown may miss a stop", "it never misses one"),
      same(125, "Waiting for the shutdown before the start waits through the start"),
      same(126, "An interrupted wait lets go of its wake-up"),
      departs(127, "Without a process to notify a waiter wakes late", "every waiter is told, registrant or not"),
      same(128, "A wake-up without a change goes on waiting"),
      same(129, "Terminate twice, after the end, before the start: harmless"),
      same(130, "Type by pid: of the running, of nobody else"),
      departs(131, "Ending the workers connected to a database", "any resource, by its name in the definition")
    ]
  },
  {
    title: "Inside the worker",
    cases: [
      departs(132, "main returns: exit 0; main throws: exit 1, reported once", "a failure exits 1, a defect 2"),
      same(133, "SIGTERM before the worker listens is not lost"),
      departs(134, "SIGTERM: a line about the administrator's command, exit 1", "an interruption; finalizers run"),
      same(135, "Shutdown signals reach the process group, terminate the process alone"),
      same(136, "Unknown entry point: exit 1 and its restarts, never a crash"),
      inapplicable(137, "Connecting without the flag, or twice: error", "the core opens no database connections"),
      same(138, "The postmaster vanishes: the worker ends by itself"),
      same(139, "Arguments arrive unchanged, also after a restart")
    ]
  },
  {
    title: "Sleep time",
    cases: [
      departs(140, "Nothing to do: 60 s", sleep),
      same(141, "Somebody may start: 0"),
      same(142, "Due in 3 s and in 7 s: 3 s"),
      departs(143, "Due in 300 s: 60 s", sleep),
      same(144, "Overdue: 0"),
      departs(145, "Shutdown: 60 s or what is left until SIGKILL", `${sleep}; stop timeouts count`)
    ]
  }
]
