"""Which virtual host a request is for: Envoy's order of domains.

Exact names first, then ``*.example.com`` (longest first), then ``example.*`` (longest first), then ``*``. A wildcard
stands for at least one character. Upper and lower case are the same in HTTP's hosts and differ in services of an RPC.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from plait.api import ConfigError
from plait_filter_router.text import encode

T = TypeVar("T")

_REMEMBERED = 1024
"""How many hosts as callers spell them are kept with their answer; callers choose them, so there is a limit."""


class Domains(Generic[T]):
    """Finds the ``T`` of a host. ``only`` is the one answer there is when ``*`` is the only domain."""

    def __init__(
        self, entries: Iterable[tuple[tuple[str, ...], T]], *, ignore_port: bool = False, any_case: bool = True
    ) -> None:
        """Raises ConfigError when two entries have the same domain or one is no domain."""
        self._ignore_port = ignore_port
        self._any_case = any_case
        self._exact: dict[bytes, T] = {}
        self._default: T | None = None
        self._remembered: dict[bytes, T | None] = {}
        suffixes: dict[bytes, T] = {}
        prefixes: dict[bytes, T] = {}
        seen: set[str] = set()
        for domains, found in entries:
            for domain in domains:
                name = domain.lower() if any_case else domain
                if name in seen:
                    raise ConfigError(f"domain {domain!r} is in two virtual hosts", expected="each domain once")
                seen.add(name)
                if name == "*":
                    self._default = found
                elif not name or "*" in name[1:-1] or (name[0] == "*" and name[-1] == "*"):
                    raise ConfigError(
                        f"domain {domain!r} is not understood",
                        expected="name, *.name, name.* or *",
                    )
                elif name[0] == "*":
                    suffixes[encode(name[1:])] = found
                elif name[-1] == "*":
                    prefixes[encode(name[:-1])] = found
                else:
                    self._exact[encode(name)] = found
        self._suffixes = sorted(suffixes.items(), key=lambda item: -len(item[0]))
        self._prefixes = sorted(prefixes.items(), key=lambda item: -len(item[0]))
        plain = not (self._exact or suffixes or prefixes)
        self.only: T | None = self._default if plain else None

    def find(self, host: bytes) -> T | None:
        """What ``host`` (with its port, as sent) belongs to, or None."""
        if self.only is not None:
            return self.only
        remembered = self._remembered
        if host in remembered:
            return remembered[host]
        found = self._search(host.lower() if self._any_case else host)
        if len(remembered) < _REMEMBERED and len(host) < 256:
            remembered[host] = found
        return found

    def _search(self, host: bytes) -> T | None:
        if self._ignore_port:
            host = without_port(host)
        found = self._exact.get(host)
        if found is not None:
            return found
        for suffix, entry in self._suffixes:
            if len(host) > len(suffix) and host.endswith(suffix):
                return entry
        for prefix, entry in self._prefixes:
            if len(host) > len(prefix) and host.startswith(prefix):
                return entry
        return self._default


def without_port(host: bytes) -> bytes:
    """``host`` without ``:port``; the colons of an IPv6 address in brackets stay."""
    name, colon, port = host.rpartition(b":")
    return name if colon and port.isdigit() and (b":" not in name or name.endswith(b"]")) else host
