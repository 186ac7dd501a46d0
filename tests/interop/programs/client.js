// Requests through the proxy at PORT: two on one connection, a body with a length, a body in chunks, HEAD.
const http = require("http");
const port = Number(process.argv[2]);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const sockets = new Set();

function ask(options, pieces) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", port, agent, ...options }, (response) => {
      const body = [];
      response.on("data", (piece) => body.push(piece));
      response.on("end", () => resolve({ status: response.statusCode, body: Buffer.concat(body).toString() }));
    });
    request.on("socket", (socket) => sockets.add(socket));
    request.on("error", reject);
    for (const piece of pieces || []) request.write(piece);
    request.end();
  });
}

(async () => {
  const answers = [
    await ask({ path: "/first?a=1" }),
    await ask({ path: "/second", method: "POST", headers: { "content-length": 4 } }, ["body"]),
    await ask({ path: "/third", method: "PUT" }, ["chunk ", "after ", "chunk"]),
    await ask({ path: "/fourth", method: "HEAD" }),
  ];
  console.log(JSON.stringify({ answers, connections: sockets.size }));
  agent.destroy();
})();
