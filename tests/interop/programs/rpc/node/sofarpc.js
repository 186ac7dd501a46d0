// SOFARPC: `server PORT`, or `client` with calls on standard input.
const { RpcServer } = require("sofa-rpc-node").server;
const { RpcClient } = require("sofa-rpc-node").client;
const dynamic = require("sofa-rpc-node/lib/client/dynamic_config");
const bolt = require("sofa-bolt-node");
const protobuf = require("protobufjs");
const { listenOn, ready, serve, sleep } = require("./lines");

const ECHO = "plait.interop.Echo";
const PERSON = "plait.interop.Person";
const quiet = { info() {}, warn: console.error, error: console.error, debug() {}, write() {} };

const one = "(google.protobuf.StringValue) returns (google.protobuf.StringValue);";
const text = `syntax = "proto3"; package plait.interop; import "google/protobuf/wrappers.proto";
  service EchoPb { ${["text", "fail", "sleep", "note", "noted"].map((name) => `rpc ${name} ${one}`).join(" ")} }`;
const proto = new protobuf.Root();
proto.addJSON(protobuf.common.get("google/protobuf/wrappers.proto").nested);
protobuf.parse(text, proto, { keepCase: true });
proto.resolveAll();

const java = (type, value) => ({ $class: type, $: value });

// Arguments of the methods in the types that a Java server knows them by.
const typed = {
  text: (value) => [java("java.lang.String", value)],
  number: (value) => [java("int", value)],
  map: (value) => [{ $class: "java.util.HashMap", $abstractClass: "java.util.Map", $: value }],
  list: (value) => [{ $class: "java.util.ArrayList", $abstractClass: "java.util.List", $: value }],
  bytes: (value) => [Buffer.from(value.$bytes, "base64")],
  older: (value, years) => [java(PERSON, value.$person), java("int", years)],
  fail: (value) => [java("java.lang.String", value)],
  sleep: (value) => [java("int", value)],
  note: (value) => [java("java.lang.String", value)],
  noted: (value) => [java("java.lang.String", value)],
};

function plain(value, method) {
  if (Buffer.isBuffer(value)) return { $bytes: value.toString("base64") };
  if (method === "older") return { $person: value };
  return value;
}

// What a caller may ask of the codec: the version of Bolt, with a checksum or without, or protobuf.
const variants = {
  hessian2: {},
  v2: { protocolType: "bolt2", boltVersion: 1 },
  "v2-crc": { protocolType: "bolt2", boltVersion: 2, crcEnable: true },
  protobuf: { codecType: "protobuf" },
};

function client(variant) {
  const protocol = {
    ...bolt,
    encoder(options) {
      const encoder = bolt.encoder(options);
      Object.assign(encoder.encodeOptions, variants[variant]);
      return encoder;
    },
  };
  // Many calls that fail on purpose must not end in calls that are not made.
  dynamic.instance.circuitBreaker.forceClosed = true;
  dynamic.instance.faultTolerance.degradeEffective = false;
  const options = { protocol, proto, noDelay: true, connectTimeout: 3000 };
  if (process.env.HEARTBEAT_MS) {
    options.maxIdleTime = Number(process.env.HEARTBEAT_MS);
    dynamic.instance.metric.bucketSizeInMs = options.maxIdleTime / 4; // how often it looks who was idle
  }
  return new RpcClient({ logger: quiet, connectionOpts: options, retryFaultInterval: 300 });
}

if (process.argv[2] === "server") {
  listenOn(Number(process.argv[3]));
  const server = new RpcServer({
    logger: quiet, port: Number(process.argv[3]), publishAddress: "127.0.0.1", proto,
    // It would keep, for each connection, how a class was defined the first time, and read all later ones by that. Behind
    // a sidecar callers share a connection, and those in Java order the fields of a request otherwise than those in Node.
    disableDecodeCache: true,
  });
  const noted = new Set();
  const refuse = (message) => {
    const error = new Error(message);
    error.name = "Refused";
    throw error;
  };
  server.addService({ interfaceName: ECHO }, {
    async text(value) { return value; },
    async number(value) { return value; },
    async map(value) { return java("java.util.HashMap", value); },
    async list(value) { return java("java.util.ArrayList", value); },
    async bytes(value) { return value; },
    async older(person, years) { return java(PERSON, { ...person, age: person.age + years }); },
    async fail(message) { refuse(message); },
    async sleep(milliseconds) { await sleep(milliseconds); return "slept"; },
    async note(word) { noted.add(word); },
    async noted(word) { return noted.has(word); },
  });
  const value = (text) => ({ value: text });
  server.addService({ interfaceName: ECHO + "Pb" }, {
    async text(asked) { return value(asked.value); },
    async fail(asked) { refuse(asked.value); },
    async sleep(asked) { await sleep(Number(asked.value)); return value("slept"); },
    async note(asked) { noted.add(asked.value); return value(""); },
    async noted(asked) { return value(String(noted.has(asked.value))); },
  });
  server.on("error", (error) => console.error(error));
  server.start().then(ready);
} else {
  const clients = new Map();
  serve(async (line) => {
    const { variant, target, method, args, timeout_ms: responseTimeout } = line;
    if (!clients.has(variant)) {
      clients.set(variant, client(variant));
      clients.get(variant).on("error", (error) => console.error(error));
    }
    const pb = variant === "protobuf";
    const consumer = clients.get(variant).createConsumer({
      interfaceName: pb ? ECHO + "Pb" : ECHO, serverHost: `bolt://${target}`, targetAppName: "interop", responseTimeout,
      group: `${target} ${variant}`, // not sent; only the first consumer of a service and group sends heartbeats
    });
    await consumer.ready();
    if (pb) return (await consumer.invoke(method, [{ value: args[0] }], { responseTimeout, codecType: "protobuf" })).value;
    if (method === "note") {
      // One-way is in the codec, but consumers wait for an answer: theirs is left to run into its timeout.
      consumer.once("request", (request) => { request.oneway = true; });
      consumer.invoke(method, typed[method](...args), { responseTimeout }).catch(() => {});
      return null;
    }
    return plain(await consumer.invoke(method, typed[method](...args), { responseTimeout }), method);
  });
}
