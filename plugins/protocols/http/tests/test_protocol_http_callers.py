"""Which address counts as the caller's, and whether it is inside."""

from typing import Any, cast

import pytest

from plait import ConfigError, Connection
from plait_protocol_http import EdgeSettings
from plait_protocol_http.callers import Callers


def connection(ip: str = "10.0.0.9") -> Connection:
    made = Connection(cast("Any", None))
    made.peer_ip = ip
    return made


@pytest.mark.parametrize(
    ("remote", "hops", "forwarded", "expected"),
    [
        (False, 0, None, ""),
        (False, 0, b"1.1.1.1", "1.1.1.1"),
        (False, 0, b"1.1.1.1, 2.2.2.2", "2.2.2.2"),
        (False, 1, b"1.1.1.1,2.2.2.2", "1.1.1.1"),
        (False, 2, b"1.1.1.1,2.2.2.2", ""),
        (False, 0, b"1.1.1.1, nonsense", ""),
        (False, 0, b"::1", "::1"),
        (True, 0, b"1.1.1.1", ""),
        (True, 1, b"1.1.1.1,2.2.2.2", "2.2.2.2"),
        (True, 2, b"1.1.1.1,2.2.2.2", "1.1.1.1"),
        (True, 1, None, ""),
    ],
)
def test_address_that_counts(remote: bool, hops: int, forwarded: bytes | None, expected: str) -> None:
    callers = Callers(EdgeSettings(use_remote_address=remote, xff_num_trusted_hops=hops))
    assert callers.address(connection(), forwarded) == expected


def test_nobody_is_inside_by_default() -> None:
    callers = Callers(EdgeSettings(use_remote_address=True))
    assert not callers.internal(connection("127.0.0.1"), "", single=True)


def test_inside_are_single_addresses_of_the_ranges() -> None:
    callers = Callers(EdgeSettings(use_remote_address=True, internal_ranges=("10.0.0.0/8", "fd00::/8")))
    assert callers.internal(connection(), "", single=True)
    assert callers.internal(connection("fd00::1"), "", single=True)
    assert not callers.internal(connection(), "", single=False)
    assert not callers.internal(connection("11.0.0.1"), "", single=True)
    assert not callers.internal(connection(""), "", single=True)


def test_without_remote_address_only_the_header_makes_internal() -> None:
    callers = Callers(EdgeSettings(internal_ranges=("10.0.0.0/8",)))
    assert not callers.internal(connection(), "", single=True)
    assert callers.internal(connection("9.9.9.9"), "10.1.1.1", single=True)


def test_unix_sockets_are_inside_where_configured() -> None:
    assert Callers(EdgeSettings(use_remote_address=True, internal_unix_sockets=True)).internal(connection(""), "", True)


def test_range_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="internal_address_config"):
        Callers(EdgeSettings(internal_ranges=("10.0.0.0/99",)))
