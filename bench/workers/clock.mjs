/** Tells what its clock says whenever it is asked. */
process.on("message", () => process.send?.(String(process.hrtime.bigint())))
