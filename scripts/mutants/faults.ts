/**
 * The planted faults: small mutations of what decides in `packages/core/src`,
 * each of which a law or a test must notice.
 */

export interface Fault {
  /** What goes wrong. */
  readonly fault: string
  /** In `packages/core/src`. */
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly put: string
  /** Whether the search, which knows nothing but the machine, can notice it. */
  readonly searched: boolean
  /** Who is asked after the search, in `packages/core/test`. */
  readonly tests: ReadonlyArray<string>
}

type Planted = readonly [fault: string, find: string, put: string]

const inMachine = (file: string, faults: ReadonlyArray<Planted>) =>
  faults.map(([fault, find, put]): Fault => ({
    fault,
    file,
    find,
    put,
    searched: true,
    tests: ["machine", "Restart", "properties"]
  }))

const inHandles = (file: string, faults: ReadonlyArray<Planted>) =>
  faults.map(([fault, find, put]): Fault => ({
    fault,
    file,
    find,
    put,
    searched: false,
    tests: ["watch", "Restart", "Postmaster"]
  }))

const inWhatIsSeen = (file: string, faults: ReadonlyArray<Planted>) =>
  faults.map(([fault, find, put]): Fault => ({
    fault,
    file,
    find,
    put,
    searched: false,
    tests: ["slotTable", "onlook", "hub", "Postmaster"]
  }))

const inLargeBytes = (file: string, faults: ReadonlyArray<Planted>) =>
  faults.map(([fault, find, put]): Fault => ({
    fault,
    file,
    find,
    put,
    searched: false,
    tests: ["largeBytes", "calls"]
  }))

const inSpares = (file: string, faults: ReadonlyArray<Planted>) =>
  faults.map(([fault, find, put]): Fault => ({
    fault,
    file,
    find,
    put,
    searched: true,
    tests: ["spares", "properties"]
  }))

const inSparesOfLoop = (file: string, faults: ReadonlyArray<Planted>) =>
  faults.map(([fault, find, put]): Fault => ({
    fault,
    file,
    find,
    put,
    searched: false,
    tests: ["sparesLoop"]
  }))

const inLoop = (file: string, faults: ReadonlyArray<Planted>) =>
  faults.map(([fault, find, put]): Fault => ({ fault, file, find, put, searched: false, tests: ["admission"] }))

const inAdmission = (file: string, faults: ReadonlyArray<Planted>) =>
  faults.map(([fault, find, put]): Fault => ({
    fault,
    file,
    find,
    put,
    searched: true,
    tests: ["admission", "properties"]
  }))

const inLimits = (file: string, faults: ReadonlyArray<Planted>) =>
  faults.map(([fault, find, put]): Fault => ({
    fault,
    file,
    find,
    put,
    searched: false,
    tests: ["Registration", "SpawnerFiber"]
  }))

const inWhatIsObserved = (file: string, faults: ReadonlyArray<Planted>) =>
  faults.map(([fault, find, put]): Fault => ({
    fault,
    file,
    find,
    put,
    searched: false,
    tests: ["WorkerMetrics", "PostmasterTraces"]
  }))

const inSigns = (file: string, faults: ReadonlyArray<Planted>) =>
  faults.map(([fault, find, put]): Fault => ({
    fault,
    file,
    find,
    put,
    searched: true,
    tests: ["liveness", "startOrder", "slotTable", "properties"]
  }))

const inSignsOfLoop = (file: string, faults: ReadonlyArray<Planted>) =>
  faults.map(([fault, find, put]): Fault => ({
    fault,
    file,
    find,
    put,
    searched: false,
    tests: ["liveness", "startOrder"]
  }))

export const faults: ReadonlyArray<Fault> = [
  ...inMachine("internal/restarts.ts", [
    ["a delay grows one failure too early", "failures - 1 - thenMillis.length", "failures - thenMillis.length"],
    [
      "a delay grows without a limit",
      "Math.min(growth.maxMillis, last * growth.factor ** beyond)",
      "last * growth.factor ** beyond"
    ],
    ["the limit is reached one failure too late", "times.length >= giveUp.failures", "times.length > giveUp.failures"],
    ["the window is a moment shorter", "now - times[0]! <= giveUp", "now - times[0]! < giveUp"],
    ["jitter lengthens a delay", "1 - self.growth.jitter * luck", "1 + self.growth.jitter * luck"],
    ["a failure too many is remembered", "times.length + 1 - giveUp.failures", "times.length - giveUp.failures"],
    [
      "the longest delay decides nothing about health",
      "Math.max(leastHealthyMillis, longest(self))",
      "leastHealthyMillis"
    ]
  ]),
  ...inMachine("internal/machine.ts", [
    [
      "the word of an earlier startup run counts",
      "if (run !== state.startupRun || !isBefore(state.phase, phase)) return",
      "if (!isBefore(state.phase, phase)) return"
    ],
    [
      "a phase is entered backwards",
      "if (run !== state.startupRun || !isBefore(state.phase, phase)) return",
      "if (run !== state.startupRun) return"
    ],
    [
      "recovery goes on after the consistent point",
      "if (phase !== \"Startup\") state.recovering = false",
      "if (phase === \"Run\") state.recovering = false"
    ],
    [
      "a failed startup effect stops nobody",
      "if (overtakes(\"Fast\", state.shutdown)) state.shutdown = \"Fast\"",
      ""
    ],
    [
      "a mistaken registration is accepted",
      "closed(state, registration, registrant) ?? sanityCheck(registration) ??",
      "closed(state, registration, registrant) ??"
    ],
    [
      "a full table or class refuses nobody",
      "return !isClassFull(state, registration) && !isTableFull(state, registration)",
      "return true"
    ],
    [
      "whoever belongs to a life that is over is registered",
      "bereaved(state, registration, owner) ?? ",
      ""
    ],
    [
      "whatever a worker registers belongs to it",
      "typeof registrant === \"object\" && registration.ownership === \"registrant\" ? registrant",
      "typeof registrant === \"object\" ? registrant"
    ],
    [
      "nothing that a worker registers belongs to it",
      "typeof registrant === \"object\" && registration.ownership === \"registrant\" ? registrant",
      "false ? registrant"
    ],
    [
      "a worker that belongs to the postmaster needs a registrant that lives",
      "bereaved(state, registration, owner) ??",
      "bereaved(state, registration, typeof registrant === \"object\" ? registrant : undefined) ??"
    ],
    [
      "what belongs to a life outlives it",
      "  for (const other of owned) terminateRequested(turn, other, \"OwnerEnded\")\n",
      ""
    ],
    [
      "only a failure takes along what belongs to a life",
      "for (const other of owned) terminateRequested",
      "for (const other of judged === \"Done\" ? [] : owned) terminateRequested"
    ],
    [
      "a crash takes nothing along but the crash group",
      "for (const other of owned) terminateRequested",
      "for (const other of firstCrash ? [] : owned) terminateRequested"
    ],
    [
      "what belongs to a worker ends with its tenancy only",
      "for (const other of owned) terminateRequested",
      "for (const other of isPause(next) ? [] : owned) terminateRequested"
    ],
    [
      "of what belongs to a life one is forgotten",
      "for (const other of owned) terminateRequested",
      "for (const other of owned.slice(1)) terminateRequested"
    ],
    [
      "what belongs to a life is told of its end, and comes back",
      "for (const other of owned) terminateRequested(turn, other, \"OwnerEnded\")",
      "for (const other of owned) tell(turn, other, { signal: \"SIGTERM\", target: \"Process\", cause: \"OwnerEnded\" })"
    ],
    [
      "preloads take a generation",
      "dynamic: registrant !== \"Preload\"",
      "dynamic: true"
    ],
    [
      "whoever registers too late is never told that it will not start",
      "if (state.phase === \"Waiting\") release(turn, tenant, state.recovering ? \"Crash\" : \"ShuttingDown\")\n  else ",
      ""
    ],
    [
      "one too many in a class",
      "SlotTable.countOfClass(table, name!) >= limit",
      "SlotTable.countOfClass(table, name!) > limit"
    ],
    [
      "a terminated worker comes back",
      "  SlotTable.doom(turn.state.table, tenant)\n",
      ""
    ],
    [
      "a worker terminated between two lives keeps its slot",
      "ask(turn, tenant, \"Process\", cause)\n  else release(turn, tenant, \"Terminated\")",
      "ask(turn, tenant, \"Process\", cause)"
    ],
    [
      "terminate reaches the whole process group",
      "ask(turn, tenant, \"Process\", cause)",
      "ask(turn, tenant, \"Group\", cause)"
    ],
    [
      "whoever uses any resource is ended for any other",
      "tenant.registration.resources?.includes(resource)",
      "tenant.registration.resources !== undefined"
    ],
    [
      "a gentler shutdown replaces a harsher one",
      "state.phase === \"Halted\" || !overtakes(mode, state.shutdown)",
      "state.phase === \"Halted\""
    ],
    [
      "an immediate shutdown waits for the deaf for ever",
      "  startPatience(turn)\n  // Whoever",
      "  // Whoever"
    ],
    [
      "an immediate shutdown does not overtake a fast one",
      "if (state.stopping) tellAll(turn, SlotTable.hasChild, \"SIGQUIT\", \"ShuttingDown\")",
      ""
    ],
    [
      "reload reaches workers that have been told to stop",
      "if (state.stopping || state.phase === \"Halted\") return",
      "if (state.phase === \"Halted\") return"
    ],
    [
      "what was decided during a birth is forgotten",
      "  tell(turn, tenant, before.pending)\n",
      ""
    ],
    [
      "failed births are not damped",
      "afterFailure(turn, tenant, damping(tenant.failedBirths))",
      "afterFailure(turn, tenant, 0)"
    ],
    [
      "failed births are not counted",
      "  tenant.failedBirths++\n",
      ""
    ],
    [
      "being ready is told twice",
      "if (life._tag !== \"Running\" || life.ready) return",
      "if (life._tag !== \"Running\") return"
    ],
    [
      "each death of a crash is another crash",
      "!obeys(life, status) && !turn.state.recovering &&\n",
      "!obeys(life, status) &&\n"
    ],
    [
      "whoever dies of an immediate shutdown has crashed",
      "!turn.state.recovering &&\n    turn.state.shutdown !== \"Immediate\"\n",
      "!turn.state.recovering\n"
    ],
    [
      "nobody is told of a stop between two lives",
      "if (isPause(next) && next !== \"Parked\") notify(turn, tenant, WorkerStatus.stopped(status))",
      ""
    ],
    [
      "a kill on the postmaster's order is a crash",
      "tenant.attached && life.joined && !killed",
      "tenant.attached && life.joined"
    ],
    [
      "the dead-man switch is ignored",
      "  if (tenant.attached && life.joined && !killed) return \"Crashed\"\n",
      ""
    ],
    [
      "the crash of an isolated worker is everybody's",
      "judged === \"Crashed\" && tenant.attached",
      "judged === \"Crashed\""
    ],
    [
      "a terminated worker that crashes survives it",
      "    if (tenant.doomed) return \"Terminated\"\n",
      ""
    ],
    [
      "a terminated worker starts again after success",
      "onSuccess === \"Restart\" && !tenant.doomed && !state.stopping",
      "onSuccess === \"Restart\" && !state.stopping"
    ],
    [
      "success during a shutdown starts again",
      "onSuccess === \"Restart\" && !tenant.doomed && !state.stopping",
      "onSuccess === \"Restart\" && !tenant.doomed"
    ],
    [
      "exit 1 is taken for success",
      "if (judged === \"Failed\" || judged === \"Crashed\") return afterFailure",
      "if (judged === \"Crashed\") return afterFailure"
    ],
    [
      "a failure during a shutdown rests and keeps its slot",
      "  if (turn.state.stopping) return \"ShuttingDown\"\n",
      ""
    ],
    [
      "a job starts again after a failure",
      "  if (restart._tag === \"Never\") return \"NeverRestarts\"\n",
      "  if (restart._tag === \"Never\") return atLeast\n"
    ],
    [
      "an attached worker that fails during recovery sets a timer",
      "  if (turn.state.recovering && tenant.attached) return \"Recovery\"\n",
      ""
    ],
    [
      "the restart interval is not kept",
      "return Math.max(Restarts.delay(restart, tenant.failures, luck), atLeast)",
      "return Math.min(Restarts.delay(restart, tenant.failures, luck), atLeast)"
    ],
    [
      "a healthy life ends no row of failures",
      "if (turn.now - life.startedAt >= Restarts.healthyMillis(restart)) tenant.failures = 0\n",
      ""
    ],
    [
      "a life is healthy a moment too late",
      "turn.now - life.startedAt >= Restarts",
      "turn.now - life.startedAt > Restarts"
    ],
    [
      "success ends no row of failures",
      "  tenant.failures = 0\n  if (judged === \"Again\")",
      "  if (judged === \"Again\")"
    ],
    [
      "a crash is no failure",
      "(state.recovering ? undefined : fail(turn, tenant)) ?? \"Recovery\"",
      "\"Recovery\""
    ],
    [
      "whoever a crash takes along has failed",
      "(state.recovering ? undefined : fail(turn, tenant)) ?? \"Recovery\"",
      "fail(turn, tenant) ?? \"Recovery\""
    ],
    [
      "jitter is the same for every life",
      "Restarts.luck(tenant.ref, tenant.lives + tenant.failedBirths)",
      "Restarts.luck(tenant.ref, 0)"
    ],
    [
      "whoever is to be unregistered is parked",
      "restart.giveUp!.outcome === \"Park\" ? \"Parked\" : \"GaveUp\"",
      "\"Parked\""
    ],
    [
      "whoever is parked starts again",
      "else if (next === \"Parked\") park(turn, tenant)",
      "else if (next === \"Parked\") SlotTable.toWaiting(table, tenant)"
    ],
    [
      "nobody is told that a worker is parked",
      "  notify(turn, tenant, WorkerStatus.parked(SlotTable.lastExit(tenant)))\n",
      ""
    ],
    [
      "recovery starts whoever is parked",
      "if (!tenant.attached || tenant.life._tag === \"Parked\") continue",
      "if (!tenant.attached) continue"
    ],
    [
      "a start by hand forgets nothing",
      "  tenant.failures = 0\n  tenant.failedAt = []\n",
      ""
    ],
    [
      "a start by hand starts a second child",
      "  if (tenant.life._tag !== \"Parked\" && tenant.life._tag !== \"Resting\") return\n",
      ""
    ],
    [
      "a start by hand is for the parked alone",
      "  if (tenant.life._tag !== \"Parked\" && tenant.life._tag !== \"Resting\") return\n",
      "  if (tenant.life._tag !== \"Parked\") return\n"
    ],
    [
      "whoever waits for a resumed worker is not told",
      "  notify(turn, tenant, WorkerStatus.notYetStarted)\n",
      ""
    ],
    [
      "after a crash the phase goes on",
      "if (state.phase !== \"Waiting\") enter(turn, \"Waiting\")\n  tellAll",
      "tellAll"
    ],
    [
      "a crash takes the isolated workers with it",
      "other.attached && SlotTable.hasChild(other)",
      "SlotTable.hasChild(other)"
    ],
    [
      "a crash is not followed by recovery",
      "  state.recovering = true\n",
      ""
    ],
    [
      "whoever is deaf to SIGQUIT after a crash is waited for for ever",
      "  startPatience(turn)\n  stopStartup(turn)\n",
      "  stopStartup(turn)\n"
    ],
    [
      "a crash during a smart shutdown is recovered from",
      "state.shutdown !== \"Smart\" || state.phase === \"Waiting\" ||",
      "state.shutdown !== \"Smart\" ||"
    ],
    [
      "a smart shutdown waits for services",
      "  state.table.jobs === 0\n",
      "  state.table.tenants === 0\n"
    ],
    [
      "a smart shutdown at the consistent point cuts jobs short",
      "isBefore(state.phase, \"Consistent\") ||",
      "isBefore(state.phase, \"Run\") ||"
    ],
    [
      "the alarm for a recovery rings for ever during a shutdown",
      "  state.stopping = true\n  state.reinitializeAt = undefined\n",
      "  state.stopping = true\n"
    ],
    [
      "holders of unstarted workers wait for ever at a shutdown",
      "if (!SlotTable.hasChild(tenant)) release(turn, tenant, \"ShuttingDown\")",
      ""
    ],
    [
      "an immediate shutdown only asks",
      "  if (state.shutdown === \"Immediate\") tellAll(turn, SlotTable.hasChild, \"SIGQUIT\", \"ShuttingDown\")\n",
      "  if (false) tellAll(turn, SlotTable.hasChild, \"SIGQUIT\", \"ShuttingDown\")\n"
    ],
    [
      "recovery waits for isolated workers",
      "if (state.table.attachedChildren > 0) return",
      "if (state.table.children > 0) return"
    ],
    [
      "recovery begins before the crash group has gone",
      "if (state.table.attachedChildren > 0) return",
      ""
    ],
    [
      "the patience of one crash is left over for the next",
      "  state.killAt = undefined\n  if (!state.settings.restartAfterCrash)",
      "  if (!state.settings.restartAfterCrash)"
    ],
    [
      "restartAfterCrash off is ignored",
      "if (!state.settings.restartAfterCrash)",
      "if (false)"
    ],
    [
      "crash cycles are not damped",
      "until !== undefined && now < until ? state.crashCycles + 1 : 0",
      "0"
    ],
    [
      "old crashes are not forgiven",
      "until !== undefined && now < until ? state.crashCycles + 1 : 0",
      "state.crashCycles + 1"
    ],
    [
      "the startup effect runs again under its old number",
      "  state.startupRun++\n",
      ""
    ],
    [
      "recovery starts isolated workers a second time",
      "if (!tenant.attached || tenant.life._tag === \"Parked\") continue",
      "if (tenant.life._tag === \"Parked\") continue"
    ],
    [
      "recovery brings jobs back",
      "if (tenant.registration.restart._tag === \"Never\") release(turn, tenant, \"Crash\")\n    else SlotTable",
      "SlotTable"
    ],
    [
      "recovery forgets the services",
      "else SlotTable.toWaiting(state.table, tenant)\n  }\n  enter",
      "}\n  enter"
    ],
    [
      "the kill is issued for ever",
      "    state.killAt = undefined\n    const everyone",
      "    const everyone"
    ],
    [
      "an immediate shutdown kills the attached only",
      "(everyone || tenant.attached)",
      "tenant.attached"
    ],
    [
      "the kill comes a moment too late",
      "now >= state.killAt",
      "now > state.killAt"
    ],
    [
      "a crash during a shutdown leaves no mark",
      "const abnormal = state.recovering || state.abnormal !== undefined",
      "const abnormal = state.abnormal !== undefined"
    ],
    [
      "halts while isolated workers live",
      "state.stopping && state.table.children === 0",
      "state.stopping && state.table.attachedChildren === 0"
    ],
    [
      "workers start during recovery",
      "!state.recovering && !state.stopping",
      "!state.stopping"
    ],
    [
      "one launch too many in a turn",
      "launched === state.settings.maxLaunchesPerTurn",
      "launched > state.settings.maxLaunchesPerTurn"
    ],
    [
      "whoever rests is never woken",
      "  SlotTable.wakeRested(state.table, now)\n",
      ""
    ],
    [
      "a rest that ends during recovery makes the machine spin",
      "  SlotTable.wakeRested(state.table, now)\n  if (!mayLaunch(state)) return\n",
      "  if (!mayLaunch(state)) return\n  SlotTable.wakeRested(state.table, now)\n"
    ],
    [
      "launches come before the shutdown is seen",
      "  advance(turn)\n  admit(turn)\n  launch(turn)\n",
      "  launch(turn)\n  advance(turn)\n  admit(turn)\n"
    ],
    [
      "a harsher order does not reach whoever is being born",
      "if (life.pending !== undefined && !isHarsher(signal, life.pending.signal)) return",
      "if (life.pending !== undefined) return"
    ],
    [
      "whoever has been told is told again",
      "if (life.told !== undefined && !isHarsher(signal, life.told) && !(again && signal === life.told)) return",
      ""
    ],
    [
      "a birth that does not end is waited for for ever",
      "if (signal === \"SIGKILL\") turn.actions.push({ _tag: \"AbandonBirth\", ref: tenant.ref })",
      ""
    ],
    [
      "infinite patience is an alarm at the end of time",
      "if (Number.isFinite(state.settings.killAfter)) ",
      ""
    ],
    [
      "patience begins anew with each harsher request",
      "state.killAt ??= now + state.settings.killAfter",
      "state.killAt = now + state.settings.killAfter"
    ],
    [
      "a crash lets the startup effect go on",
      "  startPatience(turn)\n  stopStartup(turn)\n",
      "  startPatience(turn)\n"
    ],
    [
      "a shutdown lets the startup effect go on",
      "  state.reinitializeAt = undefined\n  stopStartup(turn)\n",
      "  state.reinitializeAt = undefined\n"
    ],
    [
      "a kill of nobody is announced",
      "if (left > 0) publish",
      "publish"
    ],
    [
      "an infinite stop timeout is an alarm at the end of time",
      "if (Number.isFinite(millis)) ",
      ""
    ],
    [
      "a worker's own stop timeout is ignored",
      "millis: stopTimeoutMillis ?? settings.stopTimeout",
      "millis: settings.stopTimeout"
    ],
    [
      "nobody wakes the machine for a stop timeout",
      "earliest(SlotTable.nextDueAt(state.table), SlotTable.nextDeadlineAt(state.table))",
      "SlotTable.nextDueAt(state.table)"
    ],
    [
      "nobody wakes the machine for a recovery",
      "earliest(state.killAt, state.reinitializeAt)",
      "state.killAt"
    ],
    [
      "damping has no bound",
      "const dampMaxMillis = 10_000",
      "const dampMaxMillis = Number.POSITIVE_INFINITY"
    ],
    [
      "a job's wish holds up a smart shutdown",
      "(tenant.job && state.shutdown !== undefined)",
      "false"
    ],
    [
      "a job at rest holds up a smart shutdown",
      "  if (mode === \"Smart\") forgetWishes(turn)\n",
      ""
    ],
    [
      "a smart shutdown forgets jobs that have not lived",
      "!SlotTable.hasChild(tenant) && (tenant.lives > 0 || tenant.life._tag === \"Parked\")",
      "!SlotTable.hasChild(tenant)"
    ],
    [
      "nobody is too old",
      "else if (life._tag === \"Running\" && life.told === undefined) ask(turn, tenant, \"Process\", \"Recycled\")",
      ""
    ],
    [
      "whoever grows old has failed",
      "judged === \"Failed\" && life.stopCause === \"Recycled\" ? \"Again\" : judged",
      "judged"
    ],
    [
      "an old one that may take for ever to end is pressed by its age",
      "  life.killAt = undefined\n  if (Number.isFinite(millis))",
      "  if (Number.isFinite(millis))"
    ],
    [
      "whoever asks for another life spins",
      "wish.delayMillis : 0, leastCycleMillis - lived, 0)",
      "wish.delayMillis : 0, 0)"
    ],
    [
      "a second is counted from the end of the life before",
      "leastCycleMillis - lived, 0)",
      "leastCycleMillis, 0)"
    ],
    [
      "the delay that was asked for is not kept",
      "wish?._tag === \"RetryAfter\" ? wish.delayMillis : 0",
      "0"
    ],
    [
      "whoever asks for another life has failed",
      "if (judged === \"Again\") return afterWish(turn, tenant, status)",
      "if (judged === \"Again\") return afterFailure(turn, tenant, 0)"
    ],
    [
      "whoever asks for another life is done",
      "  if (judged === \"Again\") return afterWish(turn, tenant, status)\n",
      ""
    ],
    [
      "a terminated worker that asks for another life gets it",
      "  if (tenant.doomed) return \"Terminated\"\n  // A smart",
      "  // A smart"
    ],
    [
      "whoever asks for another life during a shutdown rests",
      "if (state.stopping || (tenant.job",
      "if ((tenant.job"
    ],
    [
      "whoever asks for another life during recovery sets a timer",
      "  if (state.recovering && tenant.attached) return \"Recovery\"\n  const wish",
      "  const wish"
    ],
    [
      "a worker ends when its successor is born",
      "  notify(turn, tenant, WorkerStatus.started(pid))\n",
      "  notify(turn, tenant, WorkerStatus.started(pid))\n  const other = predecessor(turn.state, tenant)\n  if (other !== undefined) terminateRequested(turn, other, \"Replaced\")\n"
    ],
    [
      "a worker stays beside its successor",
      "if (before !== undefined) terminateRequested(turn, before, \"Replaced\")",
      "if (before !== undefined) before.successor = undefined"
    ],
    [
      "a successor that fails comes back",
      "  if (predecessor(state, tenant) !== undefined) return state.stopping ? \"ShuttingDown\" : \"NotReplaced\"\n",
      ""
    ],
    [
      "a successor that is not born is tried again",
      "  if (predecessor(turn.state, tenant) !== undefined) return turn.state.stopping ? \"ShuttingDown\" : \"NotReplaced\"\n",
      ""
    ],
    [
      "a successor that is terminated takes the place all the same",
      "  standDown(turn.state, tenant)\n  if (SlotTable.hasChild(tenant)) ask",
      "  if (SlotTable.hasChild(tenant)) ask"
    ],
    [
      "whoever ends leaves a successor with one chance only",
      "  tenant.successor = undefined\n",
      ""
    ],
    [
      "a worker whose successor has failed cannot be replaced any more",
      "  if (before !== undefined) before.successor = undefined\n",
      ""
    ],
    [
      "a successor that was given up speaks for the next one",
      "before?.successor !== undefined && sameRef(before.successor, ref) ? before",
      "before?.successor !== undefined ? before"
    ],
    [
      "a worker is replaced twice at a time",
      "return successor === undefined ? undefined : refuse(\"it is being replaced already\")",
      "return undefined"
    ],
    [
      "a successor is replaced before it is in its place",
      "  if (predecessor(state, tenant) !== undefined) return refuse(\"it has not yet taken the place of another one\")\n",
      ""
    ],
    [
      "a terminated worker is replaced",
      "  if (doomed) return refuse(\"it has been told to end for good\")\n",
      ""
    ],
    [
      "a worker is replaced by a postmaster that stops",
      "  if (state.stopping || state.phase === \"Waiting\") return refuse(\"the postmaster is stopping workers\")\n",
      ""
    ],
    [
      "a successor needs no room",
      "notReplaceable(state, before) ?? noRoom(turn, { registration: withoutKey(before.registration), since: now })",
      "notReplaceable(state, before)"
    ],
    [
      "a successor belongs to nobody",
      "{ dynamic: true, now, owner, replaces: ref }",
      "{ dynamic: true, now, replaces: ref }"
    ],
    [
      "the last reason to end a life is told, not the first",
      "life.stopCause ??= cause",
      "life.stopCause = cause"
    ],
    [
      "the last reason to end a birth is told, not the first",
      "{ ...order, cause: life.pending.cause }",
      "order"
    ],
    [
      "a failed birth is told as the life before",
      "life: tenant.lives + 1",
      "life: tenant.lives"
    ],
    [
      "the history does not say when the next life begins",
      "    endedAt: turn.now,\n    ...nextStartAt(turn, next),\n    output\n",
      "    endedAt: turn.now,\n    output\n"
    ]
  ]),
  ...inMachine("internal/onlook.ts", [
    [
      "the snapshot counts children for tenants",
      "freeSlots: state.settings.maxWorkers - state.table.tenants",
      "freeSlots: state.settings.maxWorkers - state.table.children"
    ],
    [
      "the snapshot hides when a worker starts again",
      "...(life._tag === \"Resting\" ? { nextStartAt: life.dueAt + epoch } : undefined),\n",
      ""
    ]
  ]),
  ...inMachine("internal/slotTable.ts", [
    [
      "one life too many is remembered",
      "slice(1 - maxRemembered)",
      "slice(-maxRemembered)"
    ],
    [
      "a restored table forgets the deadlines of births",
      "    if (\"killAt\" in life && life.killAt !== undefined) {\n      Heap",
      "    if (life._tag === \"Running\" && life.killAt !== undefined) {\n      Heap"
    ],
    [
      "freed slots are not taken again",
      "Heap.pop(self.freed) ?? self.untouched++",
      "self.untouched++"
    ],
    [
      "the highest free slot is taken",
      "Heap.make((self, that) => self < that, () => true)",
      "Heap.make((self, that) => self > that, () => true)"
    ],
    [
      "generations stand still",
      "(options.dynamic ? 1 : 0)",
      "0"
    ],
    [
      "a life is taken for another one of the same worker",
      "tenant?.life._tag === \"Running\" && tenant.life.pid === pid ? tenant",
      "tenant?.life._tag === \"Running\" ? tenant"
    ],
    [
      "whoever is between two lives can own somebody",
      "tenant?.life._tag === \"Running\" && tenant.life.pid === pid ? tenant",
      "tenant !== undefined && (tenant.life._tag !== \"Running\" || tenant.life.pid === pid) ? tenant"
    ],
    [
      "what belongs to a life is asked for again after the next one",
      "  self.owned[tenant.ref.slot] = undefined\n",
      ""
    ],
    [
      "nobody is known to whom he belongs to",
      "if (tenant.owner !== undefined && !tenant.doomed)",
      "if (false)"
    ],
    [
      "whoever has gone is still known to whom it belonged to",
      "  if (tenant.owner !== undefined) self.owned[tenant.owner.ref.slot]?.delete(tenant.ref.slot)\n",
      ""
    ],
    [
      "a restored table has forgotten who is doomed, and asks it to end again",
      "if (tenant.owner !== undefined && !tenant.doomed)",
      "if (tenant.owner !== undefined)"
    ],
    [
      "a tenant forgets whom it belongs to",
      "    owner: options.owner,\n",
      "    owner: undefined,\n"
    ],
    [
      "a free slot is lost",
      "  Heap.push(self.freed, tenant.ref.slot)\n",
      ""
    ],
    [
      "jobs are not counted",
      "  if (tenant.job) self.jobs += change\n",
      ""
    ],
    [
      "whoever goes is still counted",
      "  count(self, tenant, -1)\n",
      ""
    ],
    [
      "dead attached children are still counted",
      "  if (tenant.attached) self.attachedChildren--\n",
      ""
    ],
    [
      "children are counted out twice",
      "  if (!hasChild(tenant)) return\n  self.children--",
      "  self.children--"
    ],
    [
      "old failed births are not forgiven",
      "  tenant.failedBirths = 0\n",
      ""
    ],
    [
      "lives are not counted",
      "  tenant.lives++\n",
      ""
    ],
    [
      "a stale handle reaches the next occupant",
      "tenant !== undefined && tenant.ref.generation === ref.generation ? tenant : undefined",
      "tenant"
    ],
    [
      "of several start times the newest goes first",
      "turn.tenant.sequence < next.tenant.sequence",
      "turn.tenant.sequence > next.tenant.sequence"
    ],
    [
      "the newest of a queue goes first",
      "(self, that) => self.tenant.sequence < that.tenant.sequence,",
      "(self, that) => self.tenant.sequence > that.tenant.sequence,"
    ],
    [
      "whoever has left the queue is launched again",
      "(self, that) => self.tenant.sequence < that.tenant.sequence,\n    (entry) => entry.tenant.life === entry.life",
      "(self, that) => self.tenant.sequence < that.tenant.sequence,\n    () => true"
    ],
    [
      "a rest is a moment too long",
      "due.life.dueAt > now",
      "due.life.dueAt >= now"
    ],
    [
      "whoever was ended while it rested comes back",
      "    (entry) => entry.tenant.life === entry.life\n  ),\n  deadlines",
      "    () => true\n  ),\n  deadlines"
    ],
    [
      "the deadline of a life rings in the next one",
      "entry.tenant.life === entry.life && entry.life.killAt === entry.at",
      "entry.life.killAt === entry.at"
    ],
    [
      "a deadline that has passed stands for ever",
      "  deadline.life.killAt = undefined\n",
      ""
    ],
    [
      "the snapshot hides who has been told to stop",
      "tenant.life.told !== undefined ? \"Stopping\" : tenant.life.ready",
      "tenant.life.ready"
    ],
    [
      "a restored table has lost its free slots",
      "  for (let slot = 0; slot < self.untouched; slot++) {\n    if (self.seats[slot] === undefined) Heap.push",
      "  for (let slot = 0; slot < self.untouched; slot++) {\n    if (false) Heap.push"
    ]
  ]),
  ...inMachine("internal/slotTable.ts", [
    [
      "whoever has gone is still found by its name",
      "  leave(self, tenant)\n",
      ""
    ],
    [
      "namesakes forget who came before them",
      "  tenant.elder = namesakes.last\n",
      ""
    ],
    [
      "the name of whoever has left finds those who came after it no more",
      "  if (elder === undefined) namesakes.first = younger\n",
      "  if (elder === undefined) namesakes.first = undefined\n"
    ],
    [
      "whoever has ended is still found by its pid",
      "findPid(self, tenant.life.pid) === tenant) self.pids.delete(tenant.life.pid)",
      "findPid(self, tenant.life.pid) === tenant) self.pids.size"
    ],
    [
      "nobody is found by its pid",
      "  self.pids.set(pid, tenant)\n",
      ""
    ],
    [
      "a restored table finds nobody by its pid",
      "    if (life._tag === \"Running\") self.pids.set(life.pid, tenant)\n",
      ""
    ]
  ]),
  ...inWhatIsSeen("internal/slotTable.ts", [
    [
      "the end of the first takes the pid from the second",
      "if (tenant.life._tag === \"Running\" && findPid(self, tenant.life.pid) === tenant)",
      "if (tenant.life._tag === \"Running\")"
    ],
    [
      "names that nobody bears pile up",
      "  sweep(self, self.names, ({ first }) => first === undefined)\n",
      ""
    ],
    [
      "classes without members pile up",
      "  sweep(self, self.classes, (counted) => counted === 0)\n",
      ""
    ],
    [
      "a tenant changes and its version does not",
      "  tenant.version = ++self.version\n",
      "  self.version++\n"
    ],
    [
      "a tenant changes and its page does not",
      "  self.pages[Math.floor(tenant.ref.slot / pageSize)] = self.version\n",
      "  self.pages[Math.floor(tenant.ref.slot / pageSize)] ??= self.version\n"
    ],
    [
      "nobody sees what a tenant does now",
      "  tenant.life = life\n  touch(self, tenant)\n",
      "  tenant.life = life\n"
    ],
    [
      "whoever has gone is still seen",
      "  leave(self, tenant)\n  passKey(self, tenant)\n  touch(self, tenant)\n",
      "  leave(self, tenant)\n  passKey(self, tenant)\n"
    ]
  ]),
  ...inWhatIsSeen("internal/machine.ts", [
    [
      "nobody sees that a worker is ready",
      "  life.ready = true\n  SlotTable.touch(turn.state.table, tenant)\n",
      "  life.ready = true\n"
    ],
    [
      "nobody sees that a worker was told to stop",
      "    life.stopCause ??= cause\n    SlotTable.touch(state.table, tenant)\n",
      "    life.stopCause ??= cause\n"
    ]
  ]),
  ...inWhatIsSeen("internal/onlook.ts", [
    [
      "a page is read once and for all",
      "pages[number]?.version !== version",
      "pages[number] === undefined"
    ],
    [
      "whoever has changed is shown as it was",
      "before !== undefined && tenant.version <= before.version",
      "before !== undefined"
    ],
    [
      "whoever has not changed is written anew",
      "tenant.version <= before.version",
      "false"
    ],
    [
      "every look finds something new",
      "!Equal.equals(frame, self.frame)",
      "frame !== self.frame"
    ],
    [
      "a new phase is not seen",
      "!Equal.equals(frame, self.frame)",
      "false"
    ]
  ]),
  ...inWhatIsSeen("internal/hub.ts", [
    [
      "a loss is not told",
      "number > next ? [lost(number - next), value] : [value]",
      "[value]"
    ],
    [
      "whoever comes later has lost everything before",
      "const from = self.published",
      "const from = 0"
    ],
    [
      "whoever has left is still served",
      "self.readers.delete(reader)",
      "self.readers.has(reader)"
    ],
    [
      "whoever comes after the end waits for ever",
      "if (self.ended) Queue.endUnsafe(reader)\n      else self",
      "self"
    ],
    [
      "the end is told to nobody",
      "  for (const reader of self.readers) Queue.endUnsafe(reader)\n",
      ""
    ],
    [
      "a reader keeps everything",
      "Queue.sliding<Numbered<A>, Cause.Done>(self.capacity)",
      "Queue.unbounded<Numbered<A>, Cause.Done>()"
    ]
  ]),
  ...inWhatIsSeen("internal/recorder.ts", [
    [
      "the record does not lead to the present",
      "  if (oldest !== undefined) Machine.step(self.before, oldest.input, oldest.at)\n",
      ""
    ],
    [
      "the record begins somewhere",
      "heard: [...self.heard.slice(self.next), ...self.heard.slice(0, self.next)]",
      "heard: [...self.heard]"
    ]
  ]),
  ...inWhatIsSeen("internal/loop.ts", [
    [
      "onlookers are not woken",
      "if (waiting.size > 0) answers.push(wakeOnlookers)",
      ""
    ],
    [
      "the stream of snapshots does not end",
      "return closed ? Effect.undefined : ",
      "return "
    ],
    [
      "a snapshot that has been seen is shown again",
      "if (now !== seen) return",
      "if (seen !== undefined || now !== seen) return"
    ]
  ]),
  ...inMachine("internal/heap.ts", [
    [
      "the heap sinks past the lesser child",
      "if (child + 1 < size && before(items[child + 1]!, items[child]!)) child++",
      ""
    ],
    [
      "the heap does not rise",
      "    if (!before(entry, items[parent]!)) break\n",
      "    break\n"
    ],
    [
      "the heap does not sink",
      "if (!before(items[child]!, entry)) break",
      "break"
    ],
    [
      "a swept heap is in disorder",
      "for (let index = (items.length >> 1) - 1; index >= 0; index--) siftDown(self, index)",
      ""
    ],
    [
      "void entries pile up",
      "if (self.items.length >= self.sweepAt) sweep(self)",
      ""
    ],
    [
      "the last of a heap never leaves",
      "  if (self.items.length === 0) return\n",
      ""
    ]
  ]),
  ...inHandles("internal/watch.ts", [
    [
      "it is worth while to wait for a parked worker",
      "!self.gone && !isParked(self)",
      "!self.gone"
    ],
    [
      "whoever wants a client waits for a parked worker",
      "self.gone || isParked(self) ? whenStopped",
      "self.gone ? whenStopped"
    ],
    [
      "a resume returns while the worker is still parked",
      "      Effect.andThen(Deferred.await(changed)),\n",
      ""
    ],
    [
      "nobody hears of the end of a tenancy",
      "  self.gone = gone\n",
      ""
    ],
    [
      "a handle never learns anything",
      "  self.status = status\n",
      ""
    ],
    [
      "whoever waits is not told that the postmaster has died",
      "  disconnect(self, died)\n  tell(self)\n",
      "  disconnect(self, died)\n"
    ],
    [
      "of whoever was running when the postmaster died it is said that it has stopped",
      "const known = self.lost ? undefined : answer(self.status)",
      "const known = answer(self.status)"
    ],
    [
      "what is known already is not told",
      "    if (look()) return\n    self.listeners.add(look)",
      "    self.listeners.add(look)"
    ],
    [
      "whoever waits hears nothing",
      "    self.listeners.add(look)\n",
      ""
    ],
    [
      "a final status is forgotten when the postmaster dies",
      "self.lost ? undefined",
      "self.died !== undefined ? undefined"
    ],
    [
      "the stream of statuses never ends",
      "      else if (self.gone) Queue.endUnsafe(queue)\n",
      ""
    ],
    [
      "a started worker has no pid",
      "status._tag === \"Started\" || status._tag === \"Ready\" ? status.pid",
      "status._tag === \"Ready\" ? status.pid"
    ],
    [
      "waitForShutdown misses a stop between two lives",
      "status._tag === \"Stopped\" ? Effect.void : undefined",
      "self.gone ? Effect.void : undefined"
    ]
  ]),
  ...inMachine("ExitStatus.ts", [
    [
      "exit 2 is an ordinary failure",
      "return status.code === 1 ? \"Failed\" : \"Crashed\"",
      "return \"Failed\""
    ],
    [
      "exit 1 is a crash",
      "return status.code === 1 ? \"Failed\" : \"Crashed\"",
      "return \"Crashed\""
    ],
    [
      "a signal is an ordinary failure",
      "return status.ordered ? \"Failed\" : \"Crashed\"",
      "return \"Failed\""
    ],
    [
      "whoever is lost has only failed",
      "case \"Lost\":\n      return \"Crashed\"",
      "case \"Lost\":\n      return \"Failed\""
    ]
  ]),
  ...inMachine("Phase.ts", [
    [
      "workers start before their state is consistent",
      "Startup: [\"PostmasterStart\"]",
      "Startup: [\"PostmasterStart\", \"ConsistentState\"]"
    ],
    [
      "early workers cannot start at the consistent point",
      "Consistent: [\"PostmasterStart\", \"ConsistentState\"]",
      "Consistent: [\"ConsistentState\"]"
    ],
    [
      "a shutdown overtakes itself",
      "severity[self] > severity[that]",
      "severity[self] >= severity[that]"
    ],
    [
      "a phase comes before itself",
      "rank[self] < rank[that]",
      "rank[self] <= rank[that]"
    ]
  ]),
  ...inMachine("WorkerSignal.ts", [
    [
      "a signal is harsher than itself",
      "severity[self] > severity[that]",
      "severity[self] >= severity[that]"
    ]
  ]),
  ...inAdmission("internal/machine.ts", [
    ["a key is nobody's", "key === undefined ? undefined : SlotTable.findKey(table, key)", "undefined"],
    [
      "a key is answered with another worker",
      "  holder.doomed || isSameDefinition(registration, holder.registration)\n    ? undefined\n    : new",
      "  holder\n    ? undefined\n    : new"
    ],
    [
      "a key is answered with one that ends",
      "if (holder !== undefined) return !holder.doomed\n",
      "if (holder !== undefined) return true\n"
    ],
    [
      "whoever is in the way for a moment is in the way for good",
      "  holder.doomed || isSameDefinition(registration, holder.registration)\n",
      "  isSameDefinition(registration, holder.registration)\n"
    ],
    ["a ladder has one rung", "stopLadder ?? [{ signal", "[{ signal"],
    [
      "a ladder is gone down from its second rung",
      "climb(turn, tenant, life, 0, target, cause)",
      "climb(turn, tenant, life, 1, target, cause)"
    ],
    ["a rung is left out", "life.rung + 1, \"Group\"", "life.rung + 2, \"Group\""],
    [
      "nobody goes further down a ladder",
      "climb(turn, tenant, life, life.rung + 1, \"Group\", cause)",
      "tell(turn, tenant, { signal: \"SIGKILL\", target: \"Group\", cause })"
    ],
    ["a signal that is repeated is left out", " && !(again && signal === life.told)) return", ") return"],
    ["a ladder is begun again and again", " || life.rung !== undefined) return\n", ") return\n"],
    [
      "whoever has been told to leave is asked to end",
      "if (told === undefined || isHarsher(signal, told)) climb",
      "climb"
    ],
    [
      "a ladder ends with the birth",
      "  if (before.rung !== undefined && life.told !== \"SIGKILL\") stand(turn, tenant, life, before.rung)\n",
      ""
    ],
    ["whoever leaves as its ladder tells it has crashed", " && !obeys(life, status)", ""],
    [
      "whoever is told to leave cannot crash",
      "  told === \"SIGQUIT\" && status._tag === \"Exited\" && status.code === 2",
      "  told === \"SIGQUIT\""
    ],
    [
      "a wrong policy is taken",
      "  const reason = sanityCheck(registration)\n  if (reason !== undefined) return reject(turn, request, reason)\n  SlotTable",
      "  SlotTable"
    ],
    ["another policy is told and not taken", "  SlotTable.amend(table, tenant, registration)\n", ""],
    ["another policy counts failures of before", "  if (policy.restart !== undefined) {\n", "  if (false) {\n"],
    ["any change forgets the failures", "  if (policy.restart !== undefined) {\n", "  {\n"],
    [
      "whoever changes the policy of nobody hears nothing",
      "if (tenant === undefined) return reject(turn, request, new NotRegistered({ worker, ref }))",
      "if (tenant === undefined) return"
    ],
    ["nothing is kept for anybody", "    if (name === own) continue\n", "    continue\n"],
    ["what is kept for a class is kept from itself, too", "    if (name === own) continue\n", ""],
    [
      "slots are kept beyond a class's limit",
      "classLimits[name] ?? Number.POSITIVE_INFINITY",
      "Number.POSITIVE_INFINITY"
    ],
    [
      "slots are kept for those who have them already",
      "Math.max(0, claim - SlotTable.countOfClass(table, name))",
      "claim"
    ],
    ["a class that has more than its reserve gives slots away", "Math.max(0, claim - SlotTable", "(claim - SlotTable"],
    ["nobody waits for a slot", "waitMillis > 0 && registrant", "false && registrant"],
    ["whoever cannot wait waits", "waitMillis > 0 && registrant", "waitMillis >= 0 && registrant"],
    ["a preload waits", "registrant !== \"Preload\" && !state.stopping", "!state.stopping"],
    [
      "a slot is waited for in a shutdown",
      "registrant !== \"Preload\" && !state.stopping",
      "registrant !== \"Preload\""
    ],
    ["whoever goes away waits on", "  if (waiter !== undefined) return dismiss(turn, waiter)\n", ""],
    [
      "what was given and not heard of is kept",
      "  if (tenant?.request === request) terminateRequested(turn, tenant, \"Terminated\")\n",
      ""
    ],
    [
      "what was given is taken, whoever else has it",
      "if (tenant?.request === request) terminate",
      "if (tenant !== undefined) terminate"
    ],
    ["whoever shares a key may give it back", "    holder.request = undefined\n", ""],
    [
      "whoever waits for a key is not told that it is taken",
      "  if (registration.key !== undefined) state.lobby.stirred = true\n",
      ""
    ],
    ["nobody looks whether a slot is free", "  turn.state.lobby.stirred = true\n", ""],
    [
      "those who wait take slots in a recovery",
      "while (lobby.stirred && state.phase !== \"Waiting\")",
      "while (lobby.stirred)"
    ],
    ["whoever has been seated waits on", "      Lobby.leave(lobby, waiter)\n      answer", "      answer"],
    [
      "only the first in the lobby is looked at",
      "if (!hasRoom(state, waiter.registration)) continue",
      "if (!hasRoom(state, waiter.registration)) break"
    ],
    ["a wait has no end", "    dismiss(turn, waiter)\n  }\n", "    Lobby.leave(lobby, waiter)\n  }\n"],
    [
      "a shutdown leaves people waiting",
      "of Lobby.clear(state.lobby)) {",
      "of Lobby.clear(Lobby.copy(state.lobby))) {"
    ],
    [
      "nobody is woken for the end of a wait",
      "        Lobby.nextDeadlineAt(state.lobby)\n",
      "        undefined\n"
    ],
    ["a copy forgets who waits", "  lobby: Lobby.copy(self.lobby),\n", "  lobby: Lobby.make(),\n"],
    ["nobody is told how long it has waited", "now > since ? { waitedMillis: now - since } : undefined", "undefined"]
  ]),
  ...inAdmission("internal/lobby.ts", [
    ["the lobby has no bound", "  if (self.waiters.size >= maxWaiters) return false\n", ""],
    ["a wait lasts a moment too long", "waiter.until > now", "waiter.until >= now"],
    ["whoever has left is dismissed again", "(waiter) => waiters.get(waiter.request) === waiter", "() => true"],
    [
      "the last to be refused is the first",
      "(self, that) => self.until < that.until ||",
      "(self, that) => self.until > that.until ||"
    ],
    ["an endless wait is over at once", "if (Number.isFinite(waiter.until)) Heap", "Heap"]
  ]),
  ...inAdmission("internal/onlook.ts", [
    [
      "the breaker forgets when all is well",
      "...(healthyAt === undefined ? undefined : { healthyAt: healthyAt + epoch })",
      ""
    ],
    ["the breaker counts from nothing", "? 0 : crashCycles + 1", "? 0 : crashCycles"],
    ["nobody sees how many wait", "waiting: state.lobby.waiters.size", "waiting: 0"],
    ["the policy is hidden", "{ stopLadder: registration.stopLadder }),", "{}),"]
  ]),
  ...inAdmission("internal/checkpoint.ts", [
    ["a checkpoint forgets who waits", "Lobby.restore(lobby.waiters, lobby.stirred)", "Lobby.make()"]
  ]),
  ...inLoop("internal/loop.ts", [
    ["an answer that nobody hears is kept", "          if (request.isGone) withdraw(action.request, request)\n", ""],
    ["whoever goes away is not told of", "          withdraw(number, request)\n", ""],
    [
      "a key that is held has another watch",
      "watches[action.ref.slot] ??= Watch.make",
      "watches[action.ref.slot] = Watch.make"
    ]
  ]),
  ...inAdmission("Registration.ts", [
    ["another entry is the same worker", "self.entry.module === that.entry.module && ", ""],
    ["another type is the same worker", "self.type === that.type &&\n", "\n"],
    [
      "a ladder has any number of rungs",
      "if (ladder.length < 1 || ladder.length > maxRungs) return",
      "if (false) return"
    ],
    ["a ladder may take less than no time", "if (!ladder.every(({ millis }) => millis >= 0))", "if (false)"],
    ["a ladder may lead up", " ?? checkStopLadder(self)", ""],
    [
      "a stop timeout is forgotten for a ladder of before",
      "  if (stopTimeoutMillis !== undefined) return { ...changed, stopTimeoutMillis }\n",
      ""
    ],
    ["a policy that says nothing of it forgets how to stop", "return { ...self, ...changed }", "return changed"],
    ["a key may be blank", " ?? checkName(self, \"key\")", ""]
  ]),
  ...inAdmission("internal/slotTable.ts", [
    [
      "whoever is a job no more is counted as one",
      "  if (tenant.job) self.jobs--\n  tenant.registration",
      "  tenant.registration"
    ],
    ["a new job is not counted as one", "  if (tenant.job) self.jobs++\n", ""],
    [
      "a new policy is not seen",
      "  if (tenant.job) self.jobs++\n  touch(self, tenant)\n",
      "  if (tenant.job) self.jobs++\n"
    ],
    [
      "whoever has gone still holds its key",
      "  leave(self, tenant)\n  passKey(self, tenant)\n",
      "  leave(self, tenant)\n"
    ],
    ["a key is held by nobody", "  join(self, tenant)\n  passKey(self, tenant)\n", "  join(self, tenant)\n"],
    [
      "whoever was told to end keeps its key",
      "  tenant.doomed = true\n  passKey(self, tenant)\n",
      "  tenant.doomed = true\n"
    ],
    ["keys that nobody holds pile up", "  sweep(self, self.keys, (held) => held === undefined)\n", ""]
  ]),
  ...inSpares("internal/spares.ts", [
    [
      "spares import whatever was ever registered",
      "  if (self.modules.size > maxModules) self.modules.delete(self.modules.values().next().value!)\n",
      ""
    ],
    [
      "a module that is registered again stays among the old ones",
      "  self.modules.delete(module)\n",
      ""
    ],
    [
      "a launch takes the oldest spare",
      "if (spare.pid !== undefined) youngest = spare",
      "if (spare.pid !== undefined) youngest ??= spare"
    ],
    [
      "a launch takes a spare that is being born",
      "if (spare.pid !== undefined) youngest = spare",
      "youngest = spare"
    ],
    [
      "a spare that was taken stands on",
      "  self.standing.delete(youngest.spare)\n",
      ""
    ],
    [
      "a spare that was of use forgives no losses",
      "  self.losses = 0\n  return youngest",
      "  return youngest"
    ],
    [
      "spares are begun while a launch is under way",
      " || self.launches > 0",
      ""
    ],
    [
      "launches that are over are waited for",
      "  self.launches--\n",
      ""
    ],
    [
      "spares are begun on the heels of a launch",
      "  holdBack(self, now + quietMillis)\n",
      ""
    ],
    [
      "a launch shortens what a loss has set",
      "Math.max(self.notBefore, until)",
      "until"
    ],
    [
      "a spare is ready twice",
      "if (spare === undefined || spare.pid !== undefined) return false",
      "if (spare === undefined) return false"
    ],
    [
      "a spare that was lost stands on",
      "  self.standing.delete(number)\n",
      ""
    ],
    [
      "a spare that stood for a minute forgives no losses",
      "  if (spare.pid !== undefined && now - spare.since >= healthyMillis) self.losses = 0\n",
      ""
    ],
    [
      "a birth of a minute forgives losses",
      "spare.pid !== undefined && now - spare.since",
      "now - spare.since"
    ],
    [
      "a minute is a moment longer",
      "now - spare.since >= healthyMillis",
      "now - spare.since > healthyMillis"
    ],
    [
      "deaths of spares are not counted",
      "  self.losses++\n",
      ""
    ],
    [
      "spares stand on when the postmaster stops",
      "  self.standing.clear()\n",
      ""
    ],
    [
      "there is one spare too many",
      "self.standing.size >= self.wanted",
      "self.standing.size > self.wanted"
    ],
    [
      "two spares are being born",
      "    if (spare.pid === undefined) return undefined\n  }\n  return self.notBefore",
      "  }\n  return self.notBefore"
    ],
    [
      "the number of a spare is given again",
      "self.next++",
      "self.next"
    ]
  ]),
  ...inSpares("internal/machine.ts", [
    [
      "spares are begun while stopping",
      "state.phase === \"Halted\" || state.stopping ? undefined : Spares",
      "state.phase === \"Halted\" ? undefined : Spares"
    ],
    [
      "spares are begun before the table opens",
      "state.phase === \"Init\" || state.phase === \"Halted\" || state.stopping ?",
      "state.phase === \"Halted\" || state.stopping ?"
    ],
    [
      "recovery keeps spares away",
      "state.phase === \"Halted\" || state.stopping ? undefined : Spares",
      "state.phase === \"Halted\" || state.stopping || state.recovering ? undefined : Spares"
    ],
    [
      "nobody wakes the machine for a spare",
      "earliest(nextSpareAt(state), SlotTable.nextWatchAt(state.table))",
      "SlotTable.nextWatchAt(state.table)"
    ],
    [
      "spares are begun before their time",
      "if (at === undefined || at > now) return",
      "if (at === undefined) return"
    ],
    [
      "spares import nothing",
      "modules: [...spares.modules]",
      "modules: []"
    ],
    [
      "an outdated spare is damped",
      "if (loss.cause === \"Died\") Spares.damp",
      "Spares.damp"
    ],
    [
      "dead spares are not damped",
      "  if (loss.cause === \"Died\") Spares.damp(spares, now, damping)\n",
      ""
    ],
    [
      "the death of a spare is a crash",
      "  if (!Spares.lose(spares, spare, now)) return\n",
      "  if (!Spares.lose(spares, spare, now)) return\n  turn.state.recovering = true\n"
    ],
    [
      "a loss is told of whoever is no spare",
      "if (!Spares.lose(spares, spare, now)) return",
      "Spares.lose(spares, spare, now)"
    ],
    [
      "spares outlive the postmaster's stop",
      "for (const spare of Spares.clear(state.spares)) {",
      "for (const spare of []) {"
    ],
    [
      "nobody is told that a spare was ended",
      "    publish(turn, { _tag: \"SpareEnded\", spare })\n",
      ""
    ],
    [
      "whoever has the hint takes a spare",
      "usesSpares(tenant.registration) ? Spares.take(state.spares) : undefined",
      "Spares.take(state.spares)"
    ],
    [
      "what has the hint is imported by spares",
      "if (usesSpares(registration)) Spares.remember",
      "Spares.remember"
    ],
    [
      "nobody is told that a launch is from a spare",
      "publish(turn, { _tag: \"Starting\", ...who(tenant), ...made })",
      "publish(turn, { _tag: \"Starting\", ...who(tenant) })"
    ],
    [
      "a launch is ordered without its spare",
      "launch: { ref: tenant.ref, registration: tenant.registration }, ...made",
      "launch: { ref: tenant.ref, registration: tenant.registration }"
    ],
    [
      "a failed launch keeps spares away for ever",
      "  Spares.launchOver(turn.state.spares, turn.now)\n  tenant.failedBirths++\n",
      "  tenant.failedBirths++\n"
    ],
    [
      "a launch that succeeds keeps spares away for ever",
      "  Spares.launchOver(turn.state.spares, turn.now)\n  const life",
      "  const life"
    ],
    [
      "two branches of a history share their spares",
      "spares: Spares.copy(self.spares)",
      "spares: self.spares"
    ]
  ]),
  ...inMachine("internal/checkpoint.ts", [
    [
      "a saved state forgets who belongs to whom",
      "    owner: tenant.owner,\n",
      "    owner: undefined,\n"
    ],
    [
      "a saved state forgets who is being replaced",
      "    successor: tenant.successor,\n",
      "    successor: undefined,\n"
    ]
  ]),
  ...inSpares("internal/checkpoint.ts", [
    [
      "a restored state knows of no launch under way",
      "launches: tenants.filter((tenant) => tenant.life._tag === \"Starting\").length",
      "launches: 0"
    ],
    [
      "a restored state has lost its spares",
      "standing: new Map(spares.standing.map((spare) => [spare.spare, spare]))",
      "standing: new Map()"
    ]
  ]),
  ...inSpares("internal/onlook.ts", [
    [
      "the snapshot has every spare ready",
      "state: pid === undefined ? \"Starting\" : \"Ready\"",
      "state: \"Ready\""
    ],
    [
      "the snapshot hides when the next spare is begun",
      "...(nextSpareAt === undefined ? undefined : { nextSpareAt: nextSpareAt + epoch })",
      "...undefined"
    ]
  ]),
  ...inSparesOfLoop("internal/loop.ts", [
    [
      "a launch is given no spare",
      "spawner.spawn(launch, report, kept?.spare)",
      "spawner.spawn(launch, report)"
    ],
    [
      "a spare that did not fit lives on",
      "Effect.sync(() => kept?.keeper?.interruptUnsafe())",
      "Effect.void"
    ],
    [
      "a spare that was taken is told as lost",
      "if (spares.delete(number)) tell({ _tag: \"SpareLost\"",
      "tell({ _tag: \"SpareLost\""
    ],
    [
      "nobody hears of the death of a spare",
      "lose(yield* Effect.catchCause(spare.lost, (cause) => Effect.succeed(died(cause))))",
      "yield* Effect.catchCause(spare.lost, (cause) => Effect.succeed(died(cause)))"
    ],
    [
      "a spare whose loss cannot be told stands until it is swept up",
      "lose(yield* Effect.catchCause(spare.lost, (cause) => Effect.succeed(died(cause))))",
      "lose(yield* spare.lost)"
    ],
    [
      "nobody hears of a failed birth of a spare",
      "      if (Exit.isFailure(exit)) lose(died(exit.cause))\n",
      ""
    ],
    [
      "a spare that is ended lives on",
      "return handOver(action.spare)?.keeper?.interruptUnsafe()",
      "return void handOver(action.spare)"
    ],
    [
      "spares outlive a loop that dies",
      "Effect.forkIn(keep(number, modules, kept), childScope",
      "Effect.forkIn(keep(number, modules, kept), scope"
    ],
    [
      "spares are wanted of a spawner that makes none",
      "canSpare ? settings.spares : 0",
      "settings.spares"
    ],
    [
      "a loop that has died shows spares",
      "workers: [], spares: [] }",
      "workers: [] }"
    ]
  ]),
  ...inLargeBytes("internal/caller.ts", [
    ["a call that waits is sent with what has become of its bytes", "const kept = whole(frame)", "const kept = frame"]
  ]),
  ...inLargeBytes("internal/callee.ts", [
    ["an answer that waits is sent with what has become of its bytes", "put(line, whole(frame))", "put(line, frame)"]
  ]),
  ...inLargeBytes("internal/largeBytes.ts", [
    ["bytes are put where there are some", "misplaced ||= found.length > 0", "misplaced ||= false"],
    ["bytes that belong nowhere are ignored", "misplaced || given < bytes.length", "misplaced"],
    [
      "more bytes are taken out than can be counted",
      "found.length < largeBytes || bytes.length === maxTaken",
      "found.length < largeBytes"
    ],
    ["bytes are looked for in what is transformed", "ast.encoding !== undefined || ast.checks", "ast.checks"],
    [
      "bytes are looked for in what is checked",
      "ast.encoding !== undefined || ast.checks !== undefined",
      "ast.encoding !== undefined"
    ]
  ]),
  ...inLargeBytes("internal/rpcCodec.ts", [
    ["bytes are believed to begin within the table", "if (at < restAt) return undefined", ""]
  ]),
  ...inLimits("Registration.ts", [
    [
      "limits are not checked",
      "if (limit !== undefined) return new InvalidLimit",
      "if (false) return new InvalidLimit"
    ]
  ]),
  ...inLimits("BackgroundWorker.ts", [
    [
      "spares are kept for workers that must be born with their limits",
      "self.spare && !Limits.isInborn(self.limits)",
      "self.spare"
    ],
    [
      "a definition's limits are lost",
      "    ...(self.limits === undefined ? undefined : { limits: self.limits }),\n",
      ""
    ]
  ]),
  ...inLimits("Limits.ts", [
    [
      "a stack is not counted as inborn",
      "self?.heap !== undefined || self?.stack !== undefined",
      "self?.heap !== undefined"
    ],
    [
      "a limit that is no number is kept",
      "if (!(amount >= from && amount <= to))",
      "if (amount < from || amount > to)"
    ],
    [
      "half a second of time is cut off",
      "if (key === \"cpuTimeMillis\" && amount % 1_000 !== 0)",
      "if (false)"
    ],
    [
      "half a file can be open",
      "if (fraction === undefined && !Number.isInteger(amount))",
      "if (false)"
    ]
  ]),
  ...inLimits("SpawnerFiber.ts", [
    [
      "nobody is told that a fiber is not limited",
      "if (limits !== undefined && !warned)",
      "if (false)"
    ],
    [
      "every fiber's limits are told of",
      "        warned = true\n",
      ""
    ]
  ]),
  ...inWhatIsObserved("internal/mergedSeries.ts", [
    [
      "a new life takes back what was counted",
      "merged.past = merged.past === undefined ? ended(state) : add(merged.past, ended(state))",
      ""
    ],
    ["a gauge outlives its life", "state._tag === \"Gauge\"", "false"],
    ["series have no bound", "if (known === undefined && labelled.series.size >= maxSeries) return false", ""],
    [
      "words have no bound",
      "if (more > 0 && labelled.series.size + labelled.words + more > maxSeries) return false",
      ""
    ],
    ["buckets of other boundaries are added", "if (!isSame) return that", ""],
    ["quantiles outlive their life", "[quantile, null]", "[quantile, 0]"]
  ]),
  ...inWhatIsObserved("internal/workerDoor.ts", [
    [
      "nonsense for metrics ends nobody",
      "connection.reject(\"sent metrics that do not decode\")",
      "undefined"
    ],
    [
      "a report of any length is read",
      "series.length > maxReportLength ? undefined : decodeSeries(series)",
      "decodeSeries(series)"
    ],
    [
      "nobody hears of the end of a life that has reported",
      "if (measured.delete(client.id)) reports.ended",
      "if (!measured.delete(client.id)) reports.ended"
    ]
  ]),
  ...inWhatIsObserved("internal/reports.ts", [
    ["a reader who is behind grows by lives", "reader.unread.size > maxLives", "false"],
    ["a reader who is behind grows by series", "unread.series.size < maxSeries || unread.series.has(key)", "true"],
    ["workers are never told that nobody listens", "if (readers.size === 0) name(0)", ""]
  ]),
  ...inWhatIsObserved("WorkerMetrics.ts", [
    ["a new listener is told changes only", "known.clear()", ""],
    ["everything is reported each time", "if (known.get(key) === text) continue", ""],
    ["what is too large is reported", "text.length > maxReportLength - 2 || !isSeries(json)", "false"]
  ]),
  ...inWhatIsObserved("PostmasterTraces.ts", [
    ["every life ends well", "end(exitOf(status, told))", "end(Exit.void)"],
    ["whoever was killed on order has failed", "told === \"SIGQUIT\" || told === \"SIGKILL\" || ", ""],
    ["a launch lasts as long as its life", "if (word === \"Ready\") endOf(launch, Exit.void)", ""],
    [
      "a failed birth is a life that was interrupted",
      "Exit.isFailure(exit) ? spans.end(exit) :",
      "Exit.isFailure(exit) ? undefined :"
    ],
    ["a life that is given up leaves spans open", "spans.end(Exit.interrupt())", "undefined"]
  ]),
  ...inSigns("internal/liveness.ts", [
    ["the later of two signs is waited for", "that.at < self.at", "that.at > self.at"],
    [
      "a worker must beat before it is ready",
      "    : limit(\"Ready\", startedAt, readyTimeoutMillis)",
      "    : limit(\"Heartbeat\", startedAt, heartbeatMillis)"
    ],
    [
      "our own lateness is held against the worker",
      "Math.max(now - at, Math.min(leastGraceMillis, whole / 20))",
      "Math.min(leastGraceMillis, whole / 20)"
    ],
    ["a limit that is found in time is not looked at twice", "Math.min(leastGraceMillis, whole / 20)", "1"],
    ["after an hour nobody listened a worker is given another", "Math.min(whole, Math.max", "Math.max(0, Math.max"]
  ]),
  ...inSigns("internal/machine.ts", [
    ["a beat is not noted", "  life.heardAt = turn.now\n", ""],
    [
      "progress is no progress",
      "  life.heardAt = life.workedAt = turn.now\n  if (life.grace",
      "  life.heardAt = turn.now\n  if (life.grace"
    ],
    ["getting ready is no sign", "  life.heardAt = life.workedAt = turn.now\n  watch", "  watch"],
    ["nobody is watched from its birth", "  }\n  watch(turn, tenant)\n  publish", "  }\n  publish"],
    ["a limit may be passed for ever, a moment at a time", "if (life.grace.until <= now) hung", "if (false) hung"],
    [
      "whoever hangs is killed at once",
      "if (limit.at <= now) life.grace = {",
      "if (limit.at <= now) hung(turn, tenant, life, limit)\n    if (limit.at <= now) life.grace = {"
    ],
    ["nobody wakes the machine for who hangs", "SlotTable.nextWatchAt(state.table)\n", "undefined\n"],
    [
      "whoever hangs is only asked",
      "  publish(turn, { _tag: \"Hung\"",
      "  if (missed === \"Ready\") return tell(turn, tenant, \"SIGTERM\", \"Group\")\n  publish(turn, { _tag: \"Hung\""
    ],
    ["nobody can tell why it was killed", "cause: hangCauses[missed]", "cause: \"Terminated\""],
    [
      "the time beyond a limit is for every limit",
      "  if (life.grace?.limit !== limit?.at) life.grace = undefined\n",
      ""
    ],
    [
      "whoever is heard at last is looked at too late",
      "  life.heardAt = turn.now\n  if (life.grace !== undefined) watch(turn, tenant)\n",
      "  life.heardAt = turn.now\n"
    ],
    ["nobody waits for whom it starts after", "if (holder === undefined) return tenant", "return tenant"],
    ["a circle is let in", "circular(state, registration) ??", ""]
  ]),
  ...inSigns("internal/slotTable.ts", [
    ["who was told to end is watched", "life.watchAt === at && life.told === undefined", "life.watchAt === at"],
    ["a copy watches nobody", "    if (life._tag === \"Running\") setWatch(self, tenant, life, life.watchAt)\n", ""],
    [
      "a name that nobody bears holds up others",
      "namesakes?.first !== undefined && namesakes.ready === 0",
      "namesakes === undefined || namesakes.ready === 0"
    ],
    ["all of a name must be ready", "namesakes.ready === 0", "namesakes.last?.life._tag !== \"Running\""],
    [
      "who has gone for good holds up others for ever",
      "  if (namesakes.first === undefined) letGo(self, namesakes)\n",
      ""
    ],
    ["who is ready lets nobody go", "  namesakes.ready++\n  letGo(self, namesakes)\n", "  namesakes.ready++\n"],
    [
      "whoever was ready is ready for ever",
      "  if (isReady(tenant)) self.names.get(tenant.registration.name)!.ready--\n",
      ""
    ],
    [
      "only the first that waits is let go",
      "for (let turn = Heap.pop(held); turn !== undefined; turn = Heap.pop(held)) toWaiting(self, turn.tenant)",
      "const turn = Heap.pop(held)\n  if (turn !== undefined) toWaiting(self, turn.tenant)"
    ],
    [
      "a copy forgets who is held up",
      "    if (life._tag !== \"Waiting\" || life.heldBy === undefined) continue\n",
      "    continue\n"
    ],
    ["a copy forgets who is ready", "    if (isReady(tenant)) self.names.get(tenant.registration.name)!.ready++\n", ""],
    [
      "a circle over others is not found",
      "for (const other of registration.after ?? []) if (!waiters.has(other)) waiters.set(other, next)",
      ""
    ],
    [
      "who waits for itself is let in",
      "if (!after.includes(name) && (self.awaited.get(name) ?? 0) === 0)",
      "if ((self.awaited.get(name) ?? 0) === 0)"
    ],
    ["names that nobody waits for pile up", "    if (counted === 0) awaited.delete(name)\n", ""]
  ]),
  ...inSignsOfLoop("internal/loop.ts", [
    ["the mailbox holds every beat", "else if (birth.beat === undefined) tell(birth.beat =", "else tell(birth.beat ="],
    ["the oldest progress counts", "birth.progress.progress = sign.progress\n", "return\n"],
    ["only the first beat is heard", "if (birth?.beat === input) birth.beat = undefined", ""],
    ["only the first progress is heard", "if (birth?.progress === input) birth.progress = undefined", ""]
  ])
]
