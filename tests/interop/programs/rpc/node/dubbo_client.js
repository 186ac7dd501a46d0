// Dubbo clients on Node: `apache-dubbo-js client` or `dubbo2.js client` with calls on standard input.
const { DirectlyDubbo } = require(process.argv[2]);
const { serve } = require("./lines");

const java = (type, value) => ({ $class: type, $: value });
const methods = {
  text: (value) => [java("java.lang.String", value)],
  number: (value) => [java("int", value)],
  map: (value) => [java("java.util.Map", value)],
  list: (value) => [java("java.util.List", value)],
  bytes: (value) => [java("[byte", Buffer.from(value.$bytes, "base64"))],
  older: (value, years) => [java("plait.interop.Person", value.$person), java("int", years)],
  fail: (value) => [java("java.lang.String", value)],
  sleep: (value) => [java("int", value)],
  note: (value) => [java("java.lang.String", value)],
  noted: (value) => [java("java.lang.String", value)],
};

const services = new Map();
serve(async (line) => {
  const { target, method, args, timeout_ms: timeout } = line;
  const key = `${target} ${timeout}`;
  if (!services.has(key)) {
    const dubbo = DirectlyDubbo.from({ dubboAddress: target, dubboVersion: "2.0.2", dubboInvokeTimeout: timeout / 1000 });
    services.set(key, dubbo.proxyService({ dubboInterface: "plait.interop.Echo", version: "1.0", methods, timeout }));
  }
  const { res, err } = await services.get(key)[method](...args);
  if (err) throw err;
  if (Buffer.isBuffer(res)) return { $bytes: res.toString("base64") };
  return method === "older" ? { $person: res } : res;
});
