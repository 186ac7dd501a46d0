// Calls as lines of JSON from standard input; results as lines of JSON in the order they come. And servers on loopback only.
const net = require("net");
const readline = require("readline");

function say(line) {
  process.stdout.write(line + "\n");
}

// What a library prints of its own accord stays out of the results.
console.log = console.info = console.warn = console.error;

exports.ready = () => say("ready");

exports.serve = (call) => {
  const input = readline.createInterface({ input: process.stdin, crlfDelay: Infinity });
  input.on("line", async (text) => {
    const line = JSON.parse(text);
    try {
      const value = await call(line);
      say(JSON.stringify({ id: line.id, value: value === undefined ? null : value }));
    } catch (error) {
      const name = error.type || error.name || error.constructor.name;
      say(JSON.stringify({ id: line.id, error: { class: String(name), message: String(error.message) } }));
    }
  });
  input.on("close", () => process.exit(0));
  say("ready");
};

// Libraries that listen on every address, on a port of their choice: on loopback instead, on the given port.
exports.listenOn = (port) => {
  const listen = net.Server.prototype.listen;
  net.Server.prototype.listen = function (...args) {
    return listen.call(this, port, "127.0.0.1", args.find((each) => typeof each === "function"));
  };
};

exports.sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
