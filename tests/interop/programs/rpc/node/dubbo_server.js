// Dubbo on Node: `server PORT`. Its only way to start is with a registry: this one keeps nothing.
const { DubboService } = require("apache-dubbo-service");
const { listenOn, ready, sleep } = require("./lines");

const port = Number(process.argv[3]);
listenOn(port);
require("apache-dubbo-service/lib/port").randomPort = async () => port;
const java = (type, value) => ({ $class: type, $: value });
const noted = new Set();
const echo = {
  dubboInterface: "plait.interop.Echo",
  methods: {
    async text(value) { return value; },
    async number(value) { return java("int", value); },
    async map(value) { return java("java.util.HashMap", value); },
    async list(value) { return java("java.util.ArrayList", value); },
    async bytes(value) { return value; },
    async older(person, years) { return java("plait.interop.Person", { ...person, age: person.age + years }); },
    async fail(message) { throw new Error(message); },
    async sleep(milliseconds) { await sleep(milliseconds); return "slept"; },
    async note(word) { noted.add(word); },
    async noted(word) { return java("boolean", noted.has(word)); },
  },
};
const registry = { async ready() {}, async registerServices() {}, close() {} };
const dubboSetting = { getDubboSetting: () => ({ group: "", version: "1.0" }) };
new DubboService({ registry, dubboSetting, services: { echo } }).ready().then(ready);
