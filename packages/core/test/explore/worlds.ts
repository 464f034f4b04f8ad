/** The small worlds that are searched: which workers may be registered, and how much may go wrong. */
import { registration } from "./world.ts"

const attached = { flags: ["SharedMemory"] } as const

const kinds = {
  job: registration("job"),
  service: registration("service", { restart: { _tag: "After", delayMillis: 1000, onSuccess: "Unregister" } }),
  phoenix: registration("phoenix", { restart: { _tag: "Never", onSuccess: "Restart" } }),
  attachedJob: registration("attachedJob", attached),
  attachedService: registration("attachedService", {
    ...attached,
    startTime: "PostmasterStart",
    restart: { _tag: "After", delayMillis: 0, onSuccess: "Unregister" }
  }),
  parallel: registration("parallel", { class: "parallel", startTime: "ConsistentState" })
}

export const worlds = {
  "a job and an attached service": {
    slots: 2,
    registrations: 2,
    menu: [kinds.job, kinds.attachedService],
    crashes: 1,
    failedBirths: 1,
    restartAfterCrash: true
  },
  "a service and an attached job": {
    slots: 2,
    registrations: 2,
    menu: [kinds.service, kinds.attachedJob],
    crashes: 1,
    failedBirths: 0,
    restartAfterCrash: true
  },
  "one slot, two crashes": {
    slots: 1,
    registrations: 1,
    menu: [kinds.attachedService],
    crashes: 2,
    failedBirths: 1,
    restartAfterCrash: true
  },
  "a phoenix and the parallel class": {
    slots: 2,
    registrations: 2,
    menu: [kinds.phoenix, kinds.parallel],
    crashes: 1,
    failedBirths: 0,
    restartAfterCrash: true
  },
  "no restart after a crash": {
    slots: 2,
    registrations: 2,
    menu: [kinds.service, kinds.attachedService],
    crashes: 1,
    failedBirths: 0,
    restartAfterCrash: false
  }
}
