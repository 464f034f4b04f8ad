/**
 * The laws at the loop's boundary: what callers, holders, onlookers and the
 * spawner must see, whatever workers do and whenever they do it. Unless said
 * otherwise they hold whenever nothing is left to be done at the present time.
 */
export const laws = {
  children: "S1 a slot has one child at most, and there are never more children than slots",
  signals: "S2 a signal to end only gets harsher; a child is told SIGTERM, SIGQUIT and SIGKILL once each",
  births: "S3 nobody is born before the time, outside the open phases, in recovery, or after its termination",
  exits: "S4 every exit and every failed birth is reported, once, as it was",
  story: "S5 the events, the snapshot and the children tell the same story",
  answers:
    "S6 every registration is answered at once, or waits for a slot that there is not, and every refusal has its reason",
  waits: "S7 a wait ends as soon as its answer is known, with a true answer",
  handles: "S8 a handle tells the status of its tenancy, and a stale one that it is stopped",
  limits: "S9 class limits and the number of slots hold",
  forgotten: "S10 nobody is forgotten: whoever may start is started, whoever is overdue is killed",
  generations: "S11 a new tenancy has a new generation",
  shutdown: "S12 an immediate shutdown ends in bounded time",
  halt: "S13 a halt leaves nobody: no child, no wait, no open stream, and whoever registers is refused",
  fibers: "S14 there are as many fibers as lives and timers account for, and none after the release",
  spin: "S15 the loop comes to rest",
  heap: "S16 the heap does not grow with the history",
  spares:
    "S17 spares are no workers: as many as wanted, begun one at a time, each ended once: taken, lost or with the postmaster",
  ownership: "S18 what belongs to a life ends with it, and nobody is terminated without a reason",
  parking: "S19 whoever fails too often is given up, nobody else is, and it starts again when somebody wants it to",
  wishes: "S20 whoever asks for another life gets it in its time and is not blamed, unless it was told to end",
  replacing:
    "S21 a worker is terminated for its successor when that is ready, and not before; a successor that fails before is gone, and the other stays",
  liveness: "S22 whoever hangs is killed in time, nobody else is, and it has failed"
} as const

export type Law = keyof typeof laws
