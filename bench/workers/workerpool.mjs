/** The same task for workerpool, which wants it registered. */
import { task } from "./pool.mjs"

// By a name at run time: the bench is checked without the packages of its contestants.
const name = "workerpool"
const { default: workerpool } = await import(name)
workerpool.worker({ task })
