/** The small worlds that are searched: which workers may be registered, and how much may go wrong. */
import { type Bounds, registration } from "./world.ts"

const attached = { flags: ["SharedMemory"] } as const

const kinds = {
  job: registration("job"),
  service: registration("service", { restart: { _tag: "After", delayMillis: 20_000, onSuccess: "Unregister" } }),
  phoenix: registration("phoenix", { restart: { _tag: "Never", onSuccess: "Restart" } }),
  /** Comes back whatever happens, and may ignore SIGTERM for ever. */
  eternal: registration("eternal", {
    restart: { _tag: "After", delayMillis: 0, onSuccess: "Restart" },
    startTime: "ConsistentState",
    stopTimeoutMillis: Number.POSITIVE_INFINITY
  }),
  attachedJob: registration("attachedJob", attached),
  attachedService: registration("attachedService", {
    ...attached,
    startTime: "PostmasterStart",
    restart: { _tag: "After", delayMillis: 0, onSuccess: "Unregister" }
  }),
  attachedRester: registration("attachedRester", {
    ...attached,
    restart: { _tag: "After", delayMillis: 20_000, onSuccess: "Unregister" },
    resources: ["mail"],
    stopTimeoutMillis: 10_000
  }),
  /** Rests longer after each failure, up to a limit, and then waits for a hand. */
  grower: registration("grower", {
    restart: {
      _tag: "After",
      delayMillis: 20_000,
      growth: { factor: 2, maxMillis: 40_000, jitter: 0 },
      healthyMillis: 20_000,
      giveUp: { failures: 3, withinMillis: 60_000, outcome: "Park" },
      onSuccess: "Unregister"
    }
  }),
  attachedParker: registration("attachedParker", {
    ...attached,
    restart: {
      _tag: "After",
      delayMillis: 0,
      giveUp: { failures: 2, withinMillis: 20_000, outcome: "Park" },
      onSuccess: "Restart"
    }
  }),
  attachedQuitter: registration("attachedQuitter", {
    ...attached,
    restart: {
      _tag: "After",
      delayMillis: 0,
      thenMillis: [20_000],
      giveUp: { failures: 2, withinMillis: 20_000, outcome: "Unregister" },
      onSuccess: "Unregister"
    }
  }),
  /** May fail once in a while, and ask for as many lives as it likes. */
  patient: registration("patient", {
    restart: {
      _tag: "After",
      delayMillis: 2_000,
      giveUp: { failures: 2, withinMillis: 2_000, outcome: "Park" },
      onSuccess: "Unregister"
    },
    stopTimeoutMillis: 2_000
  }),
  quickJob: registration("quickJob", { stopTimeoutMillis: 2_000 }),
  attachedQuick: registration("attachedQuick", {
    ...attached,
    restart: { _tag: "After", delayMillis: 2_000, onSuccess: "Unregister" },
    stopTimeoutMillis: 2_000
  }),
  beater: registration("beater", {
    heartbeatMillis: 1_000,
    restart: { _tag: "After", delayMillis: 1_000, onSuccess: "Unregister" },
    stopTimeoutMillis: 1_000
  }),
  patientBeater: registration("patientBeater", { heartbeatMillis: 20_000, stopTimeoutMillis: 20_000 }),
  toiler: registration("toiler", {
    ...attached,
    readyTimeoutMillis: 2_000,
    heartbeatMillis: 2_000,
    progressTimeoutMillis: 3_000,
    restart: { _tag: "After", delayMillis: 0, onSuccess: "Unregister" },
    stopTimeoutMillis: 1_000
  }),
  first: registration("first", { restart: { _tag: "After", delayMillis: 20_000, onSuccess: "Unregister" } }),
  /** After the first, whoever else there is. */
  second: registration("second", {
    after: ["nobody", "first"],
    restart: { _tag: "After", delayMillis: 0, onSuccess: "Unregister" }
  }),
  third: registration("third", { after: ["second", "first"], startTime: "PostmasterStart" }),
  /** Would close the circle. */
  circular: registration("first", { after: ["third"] }),
  parallel: registration("parallel", { class: "parallel", startTime: "ConsistentState" }),
  climber: registration("climber", {
    restart: { _tag: "After", delayMillis: 0, onSuccess: "Unregister" },
    stopLadder: [
      { signal: "SIGTERM", millis: 10_000 },
      { signal: "SIGTERM", millis: 0 },
      { signal: "SIGQUIT", millis: 20_000 }
    ]
  }),
  attachedClimber: registration("attachedClimber", {
    ...attached,
    restart: { _tag: "After", delayMillis: 0, onSuccess: "Unregister" },
    stopLadder: [{ signal: "SIGTERM", millis: 10_000 }, { signal: "SIGQUIT", millis: 10_000 }]
  }),
  /** Of all these at most one. */
  keyed: registration("keyed", { key: "one" }),
  keyedService: registration("keyedService", {
    key: "one",
    restart: { _tag: "After", delayMillis: 20_000, onSuccess: "Unregister" }
  }),
  attachedKeyed: registration("attachedKeyed", {
    ...attached,
    key: "one",
    restart: { _tag: "After", delayMillis: 0, onSuccess: "Unregister" }
  }),
  /** Never made from a spare, and alone with its module. */
  loner: registration("loner", { spare: false, entry: { module: "file:///loner.js", export: "main" } })
}

/** Belong to the worker that registers them. */
const owned = {
  job: registration("ownedJob", { ownership: "registrant" }),
  rester: registration("ownedRester", {
    ownership: "registrant",
    restart: { _tag: "After", delayMillis: 20_000, onSuccess: "Restart" }
  }),
  attached: registration("ownedAttached", {
    ...attached,
    ownership: "registrant",
    startTime: "PostmasterStart",
    restart: { _tag: "After", delayMillis: 0, onSuccess: "Unregister" }
  })
}

/** Searched to their ends by the tests. */
export const worlds: { readonly [name: string]: Bounds } = {
  "two slots, three registrations of five kinds": {
    slots: 2,
    registrations: 3,
    menu: [kinds.job, kinds.service, kinds.attachedJob, kinds.attachedService, kinds.parallel],
    crashes: 1,
    failedBirths: 0
  },
  "a job and an attached service": {
    killAfter: 10_000,
    slots: 2,
    registrations: 2,
    menu: [kinds.job, kinds.attachedService],
    crashes: 1,
    failedBirths: 1
  },
  "a service and an attached job": {
    killAfter: 10_000,
    slots: 2,
    registrations: 2,
    menu: [kinds.service, kinds.attachedJob],
    crashes: 1,
    failedBirths: 0
  },
  "attached workers that rest": {
    killAfter: 10_000,
    slots: 2,
    registrations: 2,
    menu: [kinds.attachedRester, kinds.attachedService],
    crashes: 1,
    failedBirths: 0,
    resource: "mail"
  },
  "one slot, three crashes": {
    killAfter: 10_000,
    slots: 1,
    registrations: 1,
    menu: [kinds.attachedService],
    crashes: 3,
    failedBirths: 0
  },
  "one slot, three failed births": {
    slots: 1,
    registrations: 2,
    menu: [kinds.attachedService, kinds.service, kinds.job],
    crashes: 0,
    failedBirths: 3
  },
  "phoenixes and the parallel class": {
    slots: 2,
    registrations: 3,
    menu: [kinds.phoenix, kinds.parallel],
    crashes: 0,
    failedBirths: 0
  },
  "no restart after a crash": {
    killAfter: 10_000,
    slots: 2,
    registrations: 2,
    menu: [kinds.eternal, kinds.attachedService],
    crashes: 1,
    failedBirths: 0,
    restartAfterCrash: false
  },
  "preloads, two at a time": {
    slots: 2,
    registrations: 1,
    preload: [kinds.attachedService, kinds.job],
    menu: [kinds.parallel],
    crashes: 1,
    failedBirths: 0,
    maxLaunchesPerTurn: 2
  },
  "every word a child can say, every slot by its number": {
    slots: 2,
    registrations: 2,
    menu: [kinds.service, kinds.attachedService],
    crashes: 0,
    failedBirths: 0,
    ready: true,
    exact: true
  },
  "everything is heard late": {
    killAfter: 10_000,
    slots: 2,
    registrations: 2,
    menu: [kinds.service, kinds.attachedRester],
    crashes: 0,
    failedBirths: 0,
    late: true
  },
  "a spare for jobs and loners": {
    slots: 1,
    registrations: 3,
    menu: [kinds.job, kinds.loner],
    crashes: 0,
    failedBirths: 1,
    spares: 1,
    spareLosses: 2
  },
  "two spares for two preloads at a time": {
    slots: 2,
    registrations: 0,
    preload: [kinds.job, kinds.attachedJob],
    menu: [],
    crashes: 1,
    failedBirths: 0,
    maxLaunchesPerTurn: 2,
    restartAfterCrash: false,
    spares: 2,
    spareLosses: 1
  },
  "two spares for one that comes back, heard late": {
    killAfter: 10_000,
    slots: 1,
    registrations: 1,
    menu: [kinds.attachedService],
    crashes: 1,
    failedBirths: 0,
    late: true,
    spares: 2,
    spareLosses: 3
  },
  "workers that register workers, with a crash": {
    killAfter: 10_000,
    slots: 2,
    registrations: 2,
    menu: [kinds.attachedService],
    byWorkers: [owned.job, owned.attached],
    crashes: 1,
    failedBirths: 0
  },
  "workers that register workers, and come back": {
    slots: 2,
    registrations: 3,
    menu: [kinds.service],
    byWorkers: [owned.rester, kinds.job],
    crashes: 0,
    failedBirths: 0
  },
  "a delay that grows, and a limit": {
    slots: 1,
    registrations: 2,
    menu: [kinds.grower],
    crashes: 0,
    failedBirths: 2,
    resume: true
  },
  "two that park, and others meanwhile": {
    slots: 2,
    registrations: 2,
    menu: [kinds.grower, kinds.job],
    crashes: 0,
    failedBirths: 0,
    resume: true
  },
  "attached workers that are given up": {
    killAfter: 10_000,
    slots: 2,
    registrations: 2,
    menu: [kinds.attachedParker, kinds.attachedQuitter],
    crashes: 1,
    failedBirths: 0
  },
  "one slot, crashes that are too many": {
    killAfter: 10_000,
    slots: 1,
    registrations: 2,
    menu: [kinds.attachedParker, kinds.attachedQuitter],
    crashes: 3,
    failedBirths: 0,
    resume: true
  },
  "lives that ask for another, and may be given up": {
    killAfter: 2_000,
    slots: 2,
    registrations: 2,
    menu: [kinds.quickJob, kinds.patient],
    crashes: 0,
    failedBirths: 0,
    again: true,
    resume: true
  },
  "attached lives that ask for another": {
    killAfter: 2_000,
    slots: 2,
    registrations: 2,
    menu: [kinds.quickJob, kinds.attachedQuick],
    crashes: 1,
    failedBirths: 0,
    again: true
  },
  "a worker that is replaced again and again": {
    slots: 3,
    registrations: 3,
    menu: [kinds.service],
    crashes: 0,
    failedBirths: 1,
    ready: true,
    replace: true
  },
  "attached workers that are replaced": {
    killAfter: 10_000,
    slots: 2,
    registrations: 3,
    menu: [kinds.attachedService],
    crashes: 1,
    failedBirths: 0,
    ready: true,
    replace: true
  },
  "a slot to wait for": {
    slots: 1,
    registrations: 3,
    menu: [kinds.job, kinds.service],
    crashes: 0,
    failedBirths: 0,
    waits: [20_000, 40_000]
  },
  "a slot, a place in a class and a key to wait for": {
    slots: 2,
    registrations: 3,
    menu: [kinds.job, kinds.parallel, kinds.keyed],
    crashes: 0,
    failedBirths: 0,
    waits: [Number.POSITIVE_INFINITY, 20_000]
  },
  "a slot to wait for in a recovery": {
    killAfter: 10_000,
    slots: 1,
    registrations: 2,
    menu: [kinds.attachedService, kinds.attachedKeyed],
    crashes: 1,
    failedBirths: 0,
    waits: [40_000],
    late: true
  },
  "workers that wait for a slot": {
    slots: 2,
    registrations: 3,
    menu: [kinds.job],
    byWorkers: [owned.job],
    crashes: 0,
    failedBirths: 0,
    waits: [20_000]
  },
  "a slot that is kept for a class": {
    slots: 2,
    registrations: 3,
    menu: [kinds.job, kinds.parallel],
    crashes: 0,
    failedBirths: 0,
    reserved: 1,
    waits: [20_000]
  },
  "ladders": {
    slots: 1,
    registrations: 2,
    menu: [kinds.climber, kinds.attachedClimber],
    crashes: 1,
    failedBirths: 0,
    late: true
  },
  "two ladders": {
    slots: 2,
    registrations: 2,
    menu: [kinds.climber, kinds.attachedClimber],
    crashes: 1,
    failedBirths: 0
  },
  "policies that change": {
    slots: 1,
    registrations: 1,
    menu: [kinds.service, kinds.attachedService],
    crashes: 1,
    failedBirths: 1,
    resume: true,
    policies: [
      { restart: { _tag: "Never", onSuccess: "Unregister" } },
      {
        restart: {
          _tag: "After",
          delayMillis: 20_000,
          giveUp: { failures: 2, withinMillis: 20_000, outcome: "Park" },
          onSuccess: "Restart"
        }
      },
      { stopTimeoutMillis: 10_000 },
      { stopTimeoutMillis: -1 }
    ]
  },
  "one key for three": {
    slots: 2,
    registrations: 3,
    menu: [kinds.keyed, kinds.keyedService, kinds.job],
    crashes: 0,
    failedBirths: 0
  },
  "a key in the crash group": {
    killAfter: 10_000,
    slots: 2,
    registrations: 2,
    menu: [kinds.attachedKeyed, kinds.keyed, kinds.job],
    crashes: 1,
    failedBirths: 0
  },
  "workers that give signs of life, as long as they like": {
    killAfter: 1_000,
    slots: 1,
    registrations: 2,
    menu: [kinds.beater, kinds.toiler],
    crashes: 0,
    failedBirths: 0,
    ready: true,
    signs: true,
    late: true,
    lateness: 300
  },
  "signs of life beside others": {
    killAfter: 1_000,
    slots: 2,
    registrations: 2,
    menu: [kinds.patientBeater],
    crashes: 0,
    failedBirths: 0,
    ready: true,
    signs: true
  },
  "workers that start after others": {
    killAfter: 10_000,
    slots: 2,
    registrations: 2,
    menu: [kinds.first, kinds.second, kinds.third, kinds.circular],
    crashes: 0,
    failedBirths: 0,
    ready: true
  },
  "workers that belong to workers that belong to a worker": {
    slots: 3,
    registrations: 3,
    menu: [kinds.job],
    byWorkers: [owned.job],
    crashes: 0,
    failedBirths: 0
  }
}

/** For `npm run explore -- --full`: minutes, not seconds. */
export const full: { readonly [name: string]: Bounds } = {
  "three registrations of eight kinds": {
    slots: 2,
    registrations: 3,
    menu: Object.values(kinds),
    crashes: 1,
    failedBirths: 1
  },
  "three slots": {
    slots: 3,
    registrations: 3,
    menu: [kinds.service, kinds.attachedService, kinds.attachedJob],
    crashes: 1,
    failedBirths: 0,
    maxLaunchesPerTurn: 2
  },
  "two crashes, two failed births": {
    slots: 2,
    registrations: 2,
    menu: [kinds.job, kinds.eternal, kinds.attachedRester, kinds.attachedService],
    crashes: 2,
    failedBirths: 2
  },
  "workers that start after others, and come and go": {
    slots: 3,
    registrations: 3,
    menu: [kinds.first, kinds.second, kinds.third, kinds.circular],
    crashes: 0,
    failedBirths: 1,
    ready: true
  },
  "signs of life, and crashes": {
    killAfter: 1_000,
    slots: 1,
    registrations: 1,
    menu: [kinds.toiler],
    crashes: 2,
    failedBirths: 1,
    ready: true,
    signs: true,
    late: true,
    lateness: 300
  },
  "a spare, two slots": {
    slots: 2,
    registrations: 3,
    menu: [kinds.job, kinds.loner],
    crashes: 0,
    failedBirths: 1,
    spares: 1,
    spareLosses: 2
  },
  "two spares, preloads, a crash": {
    slots: 2,
    registrations: 1,
    preload: [kinds.eternal, kinds.attachedJob],
    menu: [kinds.job],
    crashes: 1,
    failedBirths: 0,
    maxLaunchesPerTurn: 2,
    spares: 2,
    spareLosses: 0
  }
}
