"""Listening sockets: one for each worker slot, kept over changes, refused with the reason."""

import os
import socket
from pathlib import Path

import pytest

from plait.api import Address, ConfigError, Listener
from plait.runtime.sockets import ListeningSockets
from plait.xds.store import Update


def listener(name: str, port: int = 0, host: str = "127.0.0.1", *, udp: bool = False, path: str = "") -> Listener:
    return Listener(name, Address(host, port, path, udp=udp))


def update(*listeners: Listener, removed: tuple[str, ...] = ()) -> Update:
    return Update(1, {one.name: one for one in listeners}, removed_listeners=removed)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


@pytest.mark.parametrize("udp", [False, True])
def test_each_slot_has_a_socket_of_its_own_on_one_port(udp: bool) -> None:
    sockets = ListeningSockets(3)
    one = listener("in", udp=udp)
    sockets.prepare(update(one))
    sockets.settle({"in": one})
    lent = [sockets.of(slot, {"in": one}, {})["in"] for slot in range(3)]
    assert len({sock.fileno() for sock in lent}) == 3
    assert len({sock.getsockname() for sock in lent}) == 1
    assert sockets.addresses() == {"in": f"127.0.0.1:{lent[0].getsockname()[1]}"}
    sockets.close()


def test_connection_waits_in_the_backlog_until_somebody_accepts() -> None:
    sockets = ListeningSockets(1)
    one = listener("in")
    sockets.prepare(update(one))
    sockets.settle({"in": one})
    with socket.create_connection(("127.0.0.1", port_of(sockets.addresses()["in"])), timeout=5) as client:
        client.sendall(b"x")
        lent = sockets.of(0, {"in": one}, {})["in"]
        lent.setblocking(True)
        accepted, _ = lent.accept()
        with accepted:
            assert accepted.recv(1) == b"x"
    sockets.close()


def test_port_of_another_process_is_refused_although_both_could_share_it() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"listener 'in': cannot listen on 127.0.0.1:{port}: address already in use"
        ):
            ListeningSockets(2).prepare(update(listener("in", port)))


def test_name_instead_of_an_ip_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected an IP address, not a name"):
        ListeningSockets(1).prepare(update(listener("in", 80, "localhost")))


def test_two_listeners_on_one_address_are_refused_and_nothing_stays_bound() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sockets = ListeningSockets(1)
    with pytest.raises(ConfigError, match="already belongs to listener 'one'"):
        sockets.prepare(update(listener("one", port), listener("two", port)))
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))


def test_renamed_listener_keeps_its_sockets() -> None:
    sockets = ListeningSockets(1)
    first = listener("in")
    sockets.prepare(update(first))
    sockets.settle({"in": first})
    port = port_of(sockets.addresses()["in"])
    fixed = listener("in", port)
    sockets.close()
    sockets.prepare(update(fixed))
    sockets.settle({"in": fixed})
    before = sockets.of(0, {"in": fixed}, {})["in"]
    renamed = listener("new", port)
    sockets.prepare(update(renamed, removed=("in",)))
    sockets.settle({"new": renamed})
    assert sockets.of(0, {"new": renamed}, {"in": fixed})["new"] is before
    sockets.close()


def test_worker_that_holds_the_socket_gets_it_no_second_time() -> None:
    sockets = ListeningSockets(1)
    one = listener("in")
    sockets.prepare(update(one))
    assert sockets.of(0, {"in": one}, {"in": one}) == {}
    sockets.close()


def test_listener_that_is_gone_or_was_never_settled_frees_its_port() -> None:
    sockets = ListeningSockets(2)
    one = listener("in")
    sockets.prepare(update(one))
    sockets.settle({"in": one})
    port = port_of(sockets.addresses()["in"])
    sockets.settle({})
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))


def test_unix_socket_is_shared_has_its_mode_and_goes_with_the_process(tmp_path: Path) -> None:
    path = tmp_path / "in.sock"
    sockets = ListeningSockets(2)
    one = Listener("in", Address(path=str(path), mode=0o600))
    sockets.prepare(update(one))
    sockets.settle({"in": one})
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert len(sockets.of(1, {"in": one}, {})) == 1
    assert sockets.addresses() == {"in": f"unix:{path}"}
    sockets.stop_listening()
    assert path.exists()
    sockets.close()
    assert not path.exists()


def test_stale_unix_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "in.sock")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    first = ListeningSockets(1)
    first.prepare(update(listener("in", path=path)))
    with pytest.raises(ConfigError, match="address already in use"):
        ListeningSockets(1).prepare(update(listener("in", path=path)))
    first.settle({})


def test_listener_that_does_not_bind_has_no_socket() -> None:
    sockets = ListeningSockets(1)
    one = Listener("in", Address("127.0.0.1", 1), bind_to_port=False)
    sockets.prepare(update(one))
    sockets.settle({"in": one})
    assert sockets.addresses() == {}
    assert sockets.of(0, {"in": one}, {}) == {}
