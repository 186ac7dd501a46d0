"""Listening sockets: the supervisor makes them, keeps them open and lends them to workers.

Each TCP or UDP listener has one socket per worker slot, all bound to its address with SO_REUSEPORT: the kernel spreads
connections over them, and what arrives for a slot whose worker died waits in that socket's backlog for the next one. A
unix socket cannot be shared that way: all workers accept from the same one.

Sockets belong to an address, not to a listener's name, so that a listener that is renamed or changed keeps them.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Mapping
from ipaddress import ip_address

from plait.api.config import Address, Listener
from plait.api.errors import ConfigError
from plait.xds.store import Update

_MAYBE = {
    errno.EACCES: "a port above 1023, or the capability CAP_NET_BIND_SERVICE",
    errno.EADDRINUSE: "an address that no other process listens on",
    errno.EADDRNOTAVAIL: "an address of this machine",
}


class ListeningSockets:
    """All sockets of a supervisor with ``slots`` workers."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._open: dict[str, list[socket.socket]] = {}  # by address, and by name too where the kernel picks the port
        self._names: dict[str, str] = {}  # listener to key of _open, of those in force
        self._files: list[str] = []  # unix sockets that workers still serve while they drain

    def prepare(self, update: Update) -> None:
        """Bind what ``update`` adds and close nothing yet. Raises ConfigError and leaves everything as it was."""
        taken = {key: name for name, key in self._names.items()}
        for name in (*update.removed_listeners, *update.listeners):
            taken.pop(self._names.get(name, ""), None)
        made: list[str] = []
        try:
            for listener in update.listeners.values():
                if not listener.bind_to_port:
                    continue
                key = _key(listener)
                if key in taken:
                    what = f"listener {listener.name!r}: {listener.address} already belongs to listener {taken[key]!r}"
                    raise ConfigError(what, expected="an address of its own")
                taken[key] = listener.name
                if key not in self._open:
                    self._open[key] = bind(listener, self._slots)
                    made.append(key)
        except ConfigError:
            for key in made:
                self._close(key)
            raise

    def settle(self, listeners: Mapping[str, Listener]) -> None:
        """``listeners`` are in force: close the sockets of all others."""
        self._names = {name: _key(listener) for name, listener in listeners.items() if listener.bind_to_port}
        for key in [key for key in self._open if key not in self._names.values()]:
            self._close(key)

    def of(
        self, slot: int, listeners: Mapping[str, Listener], held: Mapping[str, Listener]
    ) -> dict[str, socket.socket]:
        """What the worker in ``slot`` needs to serve ``listeners``, when it has the sockets of ``held``."""
        needed: dict[str, socket.socket] = {}
        for name, listener in listeners.items():
            before = held.get(name)
            if listener.bind_to_port and (before is None or not before.bind_to_port or _key(before) != _key(listener)):
                needed[name] = self._open[_key(listener)][slot]
        return needed

    def addresses(self) -> dict[str, str]:
        """Where each listener in force really listens, port 0 resolved."""
        return {name: _bound(self._open[key][0]) for name, key in self._names.items()}

    def stop_listening(self) -> None:
        """Close our copies, so that a worker that closes its own really stops."""
        self._files += [_bound(made[0]).removeprefix("unix:") for made in self._open.values() if _is_file(made[0])]
        for made in self._open.values():
            for sock in made:
                sock.close()
        self._open = {}
        self._names = {}

    def close(self) -> None:
        """Close all and remove the files of unix sockets; workers that were lent sockets still have them."""
        self.stop_listening()
        for path in self._files:
            _unlink_socket(path)
        self._files = []

    def _close(self, key: str) -> None:
        made = self._open.pop(key)
        if _is_file(made[0]):
            _unlink_socket(_bound(made[0]).removeprefix("unix:"))
        for sock in made:
            sock.close()


def bind(listener: Listener, slots: int) -> list[socket.socket]:
    """The sockets of ``listener``, listening. Raises ConfigError that says what is wrong with its address."""
    address = listener.address
    made: list[socket.socket] = []
    try:
        if address.path:
            shared = _bind_unix(listener)
            made.append(shared)
            made.extend(shared.dup() for _ in range(slots - 1))
            return made
        host = address.host or "0.0.0.0"
        try:
            family = socket.AF_INET6 if ip_address(host.split("%")[0]).version == 6 else socket.AF_INET
        except ValueError:
            raise ConfigError(
                f"listener {listener.name!r}: cannot listen on {address}", expected="an IP address, not a name"
            ) from None
        if address.port:
            _bind_internet(family, host, address.port, address.udp, reuse=False).close()
        port = address.port
        for _ in range(slots):
            sock = _bind_internet(family, host, port, address.udp, reuse=True)
            made.append(sock)
            port = sock.getsockname()[1]
        if not address.udp:
            for sock in made:
                sock.listen(listener.tcp_backlog_size)
        return made
    except OSError as error:
        for sock in made:
            sock.close()
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"listener {listener.name!r}: cannot listen on {address}: {reason}",
            expected=_MAYBE.get(error.errno or 0, ""),
        ) from error


def _bind_internet(family: int, host: str, port: int, udp: bool, *, reuse: bool) -> socket.socket:
    """``reuse`` False asks whether the address is free: sockets with SO_REUSEPORT join those of any other process."""
    sock = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    try:
        if not udp:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(listener: Listener) -> socket.socket:
    address = listener.address
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if address.udp else socket.SOCK_STREAM)
    try:
        if address.path.startswith("@"):
            sock.bind("\0" + address.path[1:])
        else:
            if not _answers(address.path):
                _unlink_socket(address.path)
            sock.bind(address.path)
            if address.mode:
                os.chmod(address.path, address.mode)
        if not address.udp:
            sock.listen(listener.tcp_backlog_size)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _answers(path: str) -> bool:
    """Whether a process listens on the unix socket at ``path``; a file that nobody listens on may go."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
        return True


def _is_file(sock: socket.socket) -> bool:
    name = sock.getsockname()
    return sock.family == socket.AF_UNIX and isinstance(name, str) and bool(name)


def _unlink_socket(path: str) -> None:
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    except OSError:
        pass


def _key(listener: Listener) -> str:
    address: Address = listener.address
    kind = "udp" if address.udp else "tcp"
    if not address.path and not address.port:
        return f"{kind}:{address}:{listener.name}"
    return f"{kind}:{address}"


def _bound(sock: socket.socket) -> str:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name if isinstance(name, str) else '@' + name[1:].decode()}"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
