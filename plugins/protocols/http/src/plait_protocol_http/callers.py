"""Who the caller is: x-forwarded-for, and whether the address that counts is inside.

Envoy's rules: with ``use_remote_address`` the peer's own address is appended to x-forwarded-for and trusted, past
``xff_num_trusted_hops`` proxies in front; without it the last address of x-forwarded-for counts. Nothing is internal
unless ``internal_address_config`` says so (the default of Envoy since 1.33).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from plait import ConfigError, Connection
from plait_protocol_http.settings import EdgeSettings


class Callers:
    """The rules of one connection manager."""

    def __init__(self, settings: EdgeSettings) -> None:
        """Raises ConfigError for a range that is no CIDR."""
        self._hops = settings.xff_num_trusted_hops
        self._remote = settings.use_remote_address
        self._unix = settings.internal_unix_sockets
        try:
            self._ranges = tuple(ipaddress.ip_network(text, strict=False) for text in settings.internal_ranges)
        except ValueError as error:
            raise ConfigError(f"internal_address_config: {error}", expected="address/prefix length") from error
        self.trusts_someone = bool(self._ranges) or self._unix
        self._inside = lru_cache(maxsize=4096)(self._in_ranges)

    def address(self, connection: Connection, forwarded: bytes | None) -> str:
        """The address that counts, empty when x-forwarded-for does not name one and the peer's is to be taken."""
        if forwarded is None or (self._remote and not self._hops):
            return ""
        addresses = forwarded.split(b",")
        skip = self._hops - 1 if self._remote else self._hops
        if skip >= len(addresses):
            return ""
        text = addresses[-1 - skip].strip().decode("latin-1")
        return text if _is_address(text) else ""

    def internal(self, connection: Connection, address: str, single: bool) -> bool:
        """Whether the caller is inside: one address, and that in a range that is trusted."""
        if not self.trusts_someone or not single:
            return False
        if not address:
            if not self._remote:
                return False  # without x-forwarded-for nobody is inside, wherever the peer is
            address = connection.peer_ip
            if not address:
                return self._unix
        return self._inside(address)

    def _in_ranges(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip.version == network.version and ip in network for network in self._ranges)


@lru_cache(maxsize=4096)
def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
