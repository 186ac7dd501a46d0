// Encodes and decodes Hessian with the libraries of others. Each line of stdin is a JSON list [dialect, "encode", value]
// or [dialect, "decode", hex]; each line of stdout is the answer: hex, or the value, in the words of `told` and `built`.
// The folder of the libraries is the argument.
const path = require("path");
const readline = require("readline");
const folder = path.resolve(process.argv[2]);
const hessian2 = require(path.join(folder, "hessian.js"));
const sofa3 = require(path.join(folder, "sofa-hessian-node")).v3;

const ENCODERS = { hessian2: hessian2.EncoderV2, sofa3: sofa3.Encoder };
const DECODERS = { hessian2: hessian2.DecoderV2, sofa3: sofa3.Decoder };

// What an encoder of theirs is given, for a value told in JSON.
function built(value) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(built);
  if ("int" in value) return { $class: "int", $: value.int };
  if ("long" in value) return { $class: "long", $: value.long };
  if ("double" in value) return { $class: "double", $: value.double };
  if ("date" in value) return new Date(value.date);
  if ("bytes" in value) return Buffer.from(value.bytes, "hex");
  if ("twice" in value) {
    const one = built(value.twice);
    return [one, one];
  }
  if ("items" in value) return { $class: value.type, $: value.items.map(built) };
  if ("entries" in value) return new Map(value.entries.map(([key, item]) => [built(key), built(item)]));
  const fields = {};
  for (const [name, item] of value.fields) fields[name] = built(item);
  return { $class: value.type, $: fields };
}

// What a decoder of theirs has made, for JSON. They tell no long, int and double apart.
function told(value) {
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Date) return { date: value.getTime() };
  if (Buffer.isBuffer(value)) return { bytes: value.toString("hex") };
  if (Array.isArray(value)) return value.map(told);
  const single = value.$ === null || typeof value.$ !== "object" || value.$ instanceof Date || Buffer.isBuffer(value.$);
  if (value.$class !== undefined && single) return told(value.$);
  const type = value.$class === undefined || value.$class === "java.util.HashMap" ? null : value.$class;
  const inside = value.$class === undefined ? value : value.$;
  if (Array.isArray(inside)) return { type, items: inside.map(told) };
  return { type, fields: Object.fromEntries(Object.entries(inside).map(([name, item]) => [name, told(item)])) };
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const [dialect, what, given] = JSON.parse(line);
  let answer;
  if (what === "encode") {
    answer = new ENCODERS[dialect]({ size: 1 << 20 }).write(built(given)).get().toString("hex");
  } else {
    const decoder = new DECODERS[dialect](Buffer.from(given, "hex"));
    answer = told(decoder.read(true));
    if (decoder.byteBuffer.position() !== given.length / 2) throw new Error(`${line}: not read to the end`);
  }
  console.log(JSON.stringify(answer));
});
