"""Addresses of sockets."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from plait.api.config import Address
from plait.xds.positions import Where

if TYPE_CHECKING:
    from plait.xds.translator import Translator

_PORTS = 65_535
_UNIX_PATH_BYTES = 107


def address(message: Any, where: Where, translator: Translator, *, ip: str = "", optional: bool = False) -> Address:
    """An envoy.config.core.v3.Address.

    ``ip`` says what needs an IP address rather than a name, if anything does; ``optional`` lets the host be
    left out.
    """
    kind = message.WhichOneof("address")
    if kind == "pipe":
        return _pipe(message.pipe, where / kind)
    if kind != "socket_address":
        if kind is None:
            raise where.error("the address is empty", expected="socket_address or pipe")
        raise (where / kind).error(f"field {kind!r} is not supported yet by plait")
    socket, at = message.socket_address, where / kind
    translator.only(socket, at, handled={"protocol", "address", "port_value", "ipv4_compat"})
    host = socket.address
    if not host and not optional:
        raise (at / "address").error(
            "the address is empty", expected="an IP address" if ip else "an IP address or name"
        )
    if socket.WhichOneof("port_specifier") is None:
        raise at.error("the address has no port", expected="port_value")
    if socket.port_value > _PORTS:
        raise (at / "port_value").error(f"port_value is {socket.port_value}", expected=f"0 to {_PORTS}")
    if ip and host and not is_ip(host):
        raise (at / "address").error(f"{host!r} is not an IP address", expected=f"an IP address {ip}")
    return Address(host=host, port=socket.port_value, udp=socket.protocol == 1)


def is_ip(text: str) -> bool:
    """Whether this is an address and not a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _pipe(message: Any, where: Where) -> Address:
    length = len(message.path.encode())
    if not message.path:
        raise (where / "path").error("the path is empty", expected="the path of a unix socket")
    if length > _UNIX_PATH_BYTES:
        raise (where / "path").error(f"the path has {length} bytes", expected=f"at most {_UNIX_PATH_BYTES}")
    if message.mode > 0o777:
        raise (where / "mode").error(f"mode is {message.mode}", expected="at most 511 (0777)")
    return Address(path=message.path, mode=message.mode)
