// A socket.io-client that does what it is told on stdin and tells on stdout what it sees, in lines of JSON.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

let socket;
const say = (line) => process.stdout.write("saw " + JSON.stringify(line) + "\n");

const commands = {
  open({ url, options }) {
    socket = io(url, { reconnectionDelay: 10, reconnectionDelayMax: 100, ...options });
    socket.io.on("open", () => {
      socket.io.engine.on("upgrade", (transport) => say({ saw: "upgrade", transport: transport.name }));
    });
    socket.on("connect", () => {
      say({ saw: "connect", id: socket.id, recovered: socket.recovered, transport: socket.io.engine.transport.name });
    });
    socket.on("disconnect", (reason, details) => say({ saw: "disconnect", reason, code: details?.context?.code }));
    socket.on("connect_error", (error) => {
      if (!socket.active) say({ saw: "connect_error", reason: error.message, args: [error.data] });
    });
    socket.onAny((name, ...args) => say({ saw: "event", name, args }));
  },
  emit({ name, args }) {
    socket.emit(name, ...args, (...answer) => say({ saw: "ack", name, args: answer }));
  },
  connect: () => socket.connect(),
  drop: () => socket.io.engine.close(), // as when the network goes
  close: () => socket.disconnect(),
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    commands[command.do](command);
  })
  .on("close", () => process.exit());
