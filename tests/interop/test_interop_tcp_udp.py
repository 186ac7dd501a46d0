"""Bytes and datagrams through Plait's sidecar, to peers of the standard library, with Envoy's on either side of it."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.interop.peers import CONFIGS, ROOT, proxy, tool, with_ports
from tests.running import free_ports, tcp_service, until

ORDERS = ["plait", "plait then envoy", "envoy then plait"]
MUCH = bytes(range(256)) * 32 * 1024  # 8 MiB

Hops = Callable[[int], int]


@pytest.fixture(scope="module", params=ORDERS)
def tcp_hops(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hops]:
    """Start the sidecars, the last of them in front of a port; the port of the first."""
    with ExitStack() as stack:

        def start(upstream: int) -> int:
            for name in reversed(request.param.split(" then ")):
                listener, admin = free_ports(2)
                text = (ROOT / "bench" / "configs" / "tcp.yaml").read_text()
                config = with_ports(text, {10000: listener, 9901: admin, 18080: upstream})
                stack.enter_context(proxy(name, config, tmp_path_factory.mktemp(name), listener, admin))
                upstream = listener
            return upstream

        yield start


@pytest.fixture(scope="module")
def tcp(tcp_hops: Hops) -> Iterator[int]:
    """The port of the first sidecar; a service behind the last says hello, then acts on one line."""
    with tcp_service(serve) as upstream:
        yield tcp_hops(upstream)


def serve(connection: socket.socket) -> None:
    connection.sendall(b"hello\n")
    with connection.makefile("rb") as file:
        word = file.readline()
        if word == b"echo\n":
            while line := file.readline():
                connection.sendall(line)
        elif word == b"sum\n":  # of all there is until the other side ends
            connection.sendall(hashlib.sha256(file.read()).hexdigest().encode())
        elif word == b"much\n":
            connection.sendall(MUCH)
        elif word == b"reset\n":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


@contextmanager
def connected(port: int) -> Iterator[tuple[socket.socket, Any]]:
    with socket.create_connection(("127.0.0.1", port), 20) as connection, connection.makefile("rb") as file:
        assert file.readline() == b"hello\n"  # the server speaks first
        yield connection, file


def test_lines_are_echoed_one_by_one(tcp: int) -> None:
    with connected(tcp) as (connection, file):
        connection.sendall(b"echo\n")
        for number in range(200):
            connection.sendall(b"line %d\n" % number)
            assert file.readline() == b"line %d\n" % number


def test_half_close_lets_the_answer_through(tcp: int) -> None:
    with connected(tcp) as (connection, file):
        connection.sendall(b"sum\n" + MUCH)
        connection.shutdown(socket.SHUT_WR)
        assert file.read() == hashlib.sha256(MUCH).hexdigest().encode()


def test_much_arrives_in_full_at_a_slow_reader(tcp: int) -> None:
    with connected(tcp) as (connection, file):
        connection.sendall(b"much\n")
        seen = hashlib.sha256()
        while piece := file.read1(3000):
            seen.update(piece)
        assert seen.digest() == hashlib.sha256(MUCH).digest()


def test_reset_of_the_upstream_ends_the_connection(tcp: int) -> None:
    with connected(tcp) as (connection, file):
        connection.sendall(b"reset\n")
        try:
            assert file.read() == b""
        except ConnectionResetError:
            pass


def test_many_connections_at_once(tcp: int) -> None:
    with ExitStack() as stack:
        pairs = [stack.enter_context(connected(tcp)) for _ in range(100)]
        for number, (connection, _) in enumerate(pairs):
            connection.sendall(b"echo\n%d\n" % number)
        assert [file.readline() for _, file in pairs] == [b"%d\n" % number for number in range(100)]


def test_upstream_that_is_not_there_ends_the_connection(tcp_hops: Hops) -> None:
    port = tcp_hops(free_ports(1)[0])
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        try:
            assert connection.recv(100) == b""
        except ConnectionResetError:
            pass


def test_curl_and_nginx_meet_over_tcp(tcp_hops: Hops, nginx: int) -> None:
    url = f"http://127.0.0.1:{tcp_hops(nginx)}/small"
    done = subprocess.run([tool("curl"), "-s", "--max-time", "20", url, url], capture_output=True, check=True)
    assert done.stdout == b"small from nginx\n" * 2


@pytest.fixture(scope="module", params=ORDERS)
def udp(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the first sidecar; a service behind the last answers each datagram with who asked and what."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        server.bind(("127.0.0.1", 0))
        threading.Thread(target=answer_datagrams, args=(server,), daemon=True).start()
        upstream = server.getsockname()[1]
        for name in reversed(request.param.split(" then ")):
            (listener,) = free_ports(1, socket.SOCK_DGRAM)
            (admin,) = free_ports(1)
            text = (CONFIGS / "udp.yaml").read_text()
            config = with_ports(text, {10000: listener, 9901: admin, 18080: upstream})
            stack.enter_context(proxy(name, config, tmp_path_factory.mktemp(name), admin))
            upstream = listener

        def answers() -> bool:
            with asking(upstream, 0.5) as client:
                return client.send(b"ready?") > 0 and client.recv(100).endswith(b" ready?")

        assert until(answers, "datagrams come through")
        yield upstream
        server.sendto(b"stop", server.getsockname())


def answer_datagrams(server: socket.socket) -> None:
    while True:
        data, peer = server.recvfrom(70_000)
        if data == b"stop":
            return
        server.sendto(b"%d %b" % (peer[1], data), peer)


@contextmanager
def asking(port: int, timeout_s: float = 20) -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(timeout_s)
        client.connect(("127.0.0.1", port))
        yield client


def test_datagrams_of_a_caller_stay_in_one_session(udp: int) -> None:
    with asking(udp) as client, asking(udp) as other:
        seen = set()
        for number in range(50):
            client.send(b"%d" % number)
            peer, text = client.recv(100).split(b" ")
            assert text == b"%d" % number
            seen.add(peer)
        other.send(b"other")
        assert len(seen) == 1
        assert other.recv(100).split(b" ")[0] not in seen


@pytest.mark.parametrize("size", [1, 1400])
def test_datagrams_arrive_in_one_piece(udp: int, size: int) -> None:
    with asking(udp) as client:
        client.send(b"d" * size)
        assert client.recv(70_000).split(b" ")[1] == b"d" * size
