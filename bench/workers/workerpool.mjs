/** The same tasks for workerpool, which wants them registered. */
import { echo, task } from "./pool.mjs"

// By a name at run time: the bench is checked without the packages of its contestants.
const name = "workerpool"
const { default: workerpool } = await import(name)
workerpool.worker({ echo, task })
