"""Requests that HTTP routes copy to other clusters."""

from __future__ import annotations

import asyncio

from plait.testing import RunningPlane, on_every_loop, until

CONFIG = """
static_resources:
  listeners:
  - name: web
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: main, request_mirror_policies: [{cluster: copy}]}
          http_filters:
          - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
"""
CLUSTER = """
  - name: %s
    load_assignment:
      cluster_name: %s
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]
"""
LONG = b"x" * 300_000


class Service:
    """Notes what it is asked, and answers with its name once it has read the whole request."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.requests: list[tuple[bytes, int]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0] or b"0")
                body = await reader.readexactly(length)
                self.requests.append((head, len(body)))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(self.name), self.name))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def _ask(address: tuple[str, int], head: bytes, *pieces: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(head)
    for piece in pieces:
        await writer.drain()
        writer.write(piece)
    answer = await reader.readuntil(b"\r\n\r\n")
    length = int(answer.partition(b"content-length: ")[2].partition(b"\r")[0])
    body = await reader.readexactly(length)
    writer.close()
    return body


@on_every_loop
async def test_copies_get_all_of_a_request_under_a_host_of_their_own() -> None:
    main, copy = Service(b"main"), Service(b"copy")
    first, second = [await asyncio.start_server(one, "127.0.0.1", 0) for one in (main, copy)]
    ports = [server.sockets[0].getsockname()[1] for server in (first, second)]
    text = CONFIG + CLUSTER % ("main", "main", ports[0]) + CLUSTER % ("copy", "copy", ports[1])
    try:
        async with RunningPlane.of(text) as running:
            address = running.address("web")
            assert await _ask(address, b"GET /a HTTP/1.1\r\nhost: shop.example:80\r\n\r\n") == b"main"
            head = b"POST /b HTTP/1.1\r\nhost: shop.example\r\ncontent-length: %d\r\n\r\n" % len(LONG)
            assert await _ask(address, head, LONG[:1000], LONG[1000:]) == b"main"
            await until(lambda: len(copy.requests) == 2, "both copies")
            assert [size for _, size in copy.requests] == [size for _, size in main.requests] == [0, len(LONG)]
            assert b"\r\nhost: shop.example:80\r\n" in main.requests[0][0]
            assert b"\r\nhost: shop.example-shadow:80\r\n" in copy.requests[0][0]
            assert b"\r\nhost: shop.example-shadow\r\n" in copy.requests[1][0]
            await until(lambda: running.counter("cluster.copy.upstream_rq_200") == 2, "the answers to the copies")
            second.close()
            copy.requests.clear()
        text = CONFIG + CLUSTER % ("main", "main", ports[0]) + CLUSTER % ("copy", "copy", 1)
        async with RunningPlane.of(text) as running:  # nobody is there to take the copies
            assert await _ask(running.address("web"), b"GET /c HTTP/1.1\r\nhost: a\r\n\r\n") == b"main"
            await until(lambda: running.counter("cluster.copy.upstream_cx_connect_fail") == 1, "the copy's failure")
            assert not copy.requests
    finally:
        first.close()
        second.close()
