/** Gives back what it is given, with nothing but Node: on a socket that it inherits, or by `process.send`. */
import { Socket } from "node:net"
import { framed } from "./framed.mjs"

if (process.argv[2] === "socket") {
  const socket = new Socket({ fd: 3 })
  const send = framed(socket, (body) => send(body))
  socket.on("end", () => process.exit(0))
} else {
  process.on("message", (value) => process.send?.(value))
}
