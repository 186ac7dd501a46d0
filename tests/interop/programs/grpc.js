// gRPC without generated code, messages are bytes: `server PORT`, or `client PORT`, which prints a line of JSON for each case.
const grpc = require("@grpc/grpc-js");

const bytes = (value) => Buffer.from(value);
const method = (name, requestStream, responseStream) => ({
  path: `/plait.interop.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});
const service = {
  unary: method("Unary", false, false),
  join: method("Join", true, false),
  count: method("Count", false, true),
  talk: method("Talk", true, true),
  fail: method("Fail", false, false),
  failLate: method("FailLate", false, true),
  sleep: method("Sleep", false, false),
  endless: method("Endless", false, true),
  cancelled: method("Cancelled", false, false),
};
const limits = { "grpc.max_receive_message_length": 16 << 20, "grpc.max_send_message_length": 16 << 20 };

function metadata(name) {
  const made = new grpc.Metadata();
  made.set(name, "seen");
  made.set(`${name}-bin`, Buffer.from([0, 255, 10]));
  return made;
}

function serve(port) {
  const failure = () => ({ code: grpc.status.FAILED_PRECONDITION, details: "not now: ü", metadata: metadata("x-trailer") });
  let cancelled = 0;
  const server = new grpc.Server(limits);
  server.addService(service, {
    unary(call, answer) {
      if (call.metadata.get("x-head")[0] === "seen") call.sendMetadata(metadata("x-head"));
      answer(null, Buffer.concat([bytes("echo "), call.request]), metadata("x-trailer"));
    },
    join(call, answer) {
      const got = [];
      call.on("data", (data) => got.push(data.toString()));
      call.on("end", () => answer(null, got.join(",")));
    },
    count(call) {
      for (let number = 0; number < Number(call.request.toString()); number++) call.write(`${number}`);
      call.end(metadata("x-trailer"));
    },
    talk(call) {
      call.on("data", (data) => call.write(`echo ${data}`));
      call.on("end", () => call.end());
    },
    fail: (call, answer) => answer(failure()),
    failLate(call) {
      call.write("first");
      setTimeout(() => call.emit("error", failure()), 20);
    },
    sleep: (call, answer) => setTimeout(() => answer(null, "late"), 2000),
    endless(call) {
      call.on("cancelled", () => cancelled++);
      call.write("0");
    },
    cancelled: (call, answer) => answer(null, `${cancelled}`),
  });
  server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error) throw error;
  });
}

const tell = (name, code, got, more) => console.log(JSON.stringify({ case: name, code, got, ...more }));

async function ask(port) {
  const Client = grpc.makeGenericClientConstructor(service, "Echo");
  const client = new Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), limits);
  const deadline = (seconds) => ({ deadline: Date.now() + seconds * 1000 });

  // One answer: resolves to what came, told under `name` unless that is empty.
  const single = (name, start, see = (value) => value.toString(), watch = []) =>
    new Promise((resolve) => {
      const more = {};
      const call = start((error, value) => {
        call.done = () => {
          const got = error ? [] : [see(value)];
          if (error && watch.includes("details")) more.details = error.details;
          if (error && watch.includes("trailer")) more.trailer = error.metadata.get("x-trailer")[0];
          if (name) tell(name, error ? error.code : 0, got, more);
          resolve(got[0]);
        };
        if (call.over || error) call.done();
      });
      call.on("metadata", (head) => watch.includes("head") && (more.head = head.get("x-head")[0]));
      call.on("status", (status) => {
        if (status.code === 0 && watch.includes("trailer")) more.trailer = status.metadata.get("x-trailer")[0];
        call.over = true;
        if (status.code === 0 && call.done) call.done();
      });
    });

  const many = (name, call, watch = [], each = () => {}) =>
    new Promise((resolve) => {
      const got = [];
      const more = {};
      call.on("data", (data) => {
        got.push(data.toString());
        each(got.length);
      });
      call.on("error", () => {});
      call.on("status", (status) => {
        if (watch.includes("details")) more.details = status.details;
        if (watch.includes("trailer")) more.trailer = status.metadata.get("x-trailer")[0];
        tell(name, status.code, got, more);
        resolve();
      });
    });

  await single("unary", (done) => client.unary("one", metadata("x-head"), deadline(20), done), undefined, ["head", "trailer"]);
  await single("empty", (done) => client.unary("", deadline(20), done));
  await single("large", (done) => client.unary(Buffer.alloc(3000000), deadline(20), done), (value) => value.length);
  await single("client streaming", (done) => {
    const call = client.join(deadline(20), done);
    for (const piece of "abc") call.write(piece);
    call.end();
    return call;
  });
  await many("server streaming", client.count("100", deadline(20)), ["trailer"]);
  const talk = client.talk(deadline(20));
  const talked = many("bidirectional", talk, [], (count) => (count < 3 ? talk.write(`${count}`) : talk.end()));
  talk.write("0"); // each answer is waited for before the next is sent
  await talked;
  await single("error", (done) => client.fail("", deadline(20), done), undefined, ["details", "trailer"]);
  await many("error in a stream", client.failLate("", deadline(20)), ["details"]);
  const unknown = method("Unknown", false, false);
  await single("unknown method", (done) =>
    client.makeUnaryRequest(unknown.path, bytes, bytes, "", new grpc.Metadata(), deadline(20), done));
  await single("deadline", (done) => client.sleep("", deadline(0.3), done));
  const endless = client.endless("", deadline(20));
  await many("cancelled", endless, [], () => endless.cancel());
  let seen = "0";
  while (seen === "0") seen = await single("", (done) => client.cancelled("", deadline(20), done));
  tell("cancellation seen", 0, [seen]);
  const calls = Array.from({ length: 1000 }, (_, number) =>
    single("", (done) => client.unary(`${number}`, deadline(60), done)).then((got) => got === `echo ${number}`));
  tell("concurrent", 0, [(await Promise.all(calls)).filter(Boolean).length]);
  client.close();
}

if (process.argv[2] === "server") serve(Number(process.argv[3]));
else ask(Number(process.argv[3]));
