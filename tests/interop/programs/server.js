// An HTTP server on PORT: /small, /chunks (no length), /close (ends with the connection), /early (answers before it reads), all else echoes.
const http = require("http");
const server = http.createServer((request, response) => {
  if (request.url === "/small") return response.end("small from node");
  if (request.url === "/chunks") {
    response.write("one ");
    response.write("two ");
    return setTimeout(() => response.end("three"), 5);
  }
  if (request.url === "/close") {
    response.useChunkedEncodingByDefault = false;
    response.setHeader("connection", "close");
    return response.end("closed");
  }
  if (request.url === "/early") {
    response.writeHead(403, { "content-length": 6 });
    return response.end("no way");
  }
  if (request.url === "/interim") {
    response.writeEarlyHints({ link: "</style.css>; rel=preload" });
    return response.end("after the hints");
  }
  if (request.url === "/trailers") {
    response.writeHead(200, { trailer: "x-sum" });
    response.write("body");
    response.addTrailers({ "x-sum": "4" });
    return response.end();
  }
  request.pipe(response);
});
server.keepAliveTimeout = 60000;
server.listen(Number(process.argv[2]), "127.0.0.1");
