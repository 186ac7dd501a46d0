"""Filter chain match: what Envoy calls the most specific match wins, and the default takes the rest."""

from __future__ import annotations

from typing import Any, cast

import pytest

from plait.api import Connection, FilterChainMatch
from plait.net.match import compile_match


def caller(**fields: Any) -> Connection:
    connection = Connection(cast("Any", None))
    defaults = {"local_ip": "10.0.0.1", "local_port": 443, "peer_ip": "192.0.2.7", "peer_port": 5000}
    for name, value in {**defaults, **fields}.items():
        setattr(connection, name, value)
    return connection


def chosen(connection: Connection, *matches: FilterChainMatch, default: int | None = None) -> int | None:
    return compile_match([(match, index) for index, match in enumerate(matches)], default)(connection)


M = FilterChainMatch


def test_a_match_without_criteria_takes_everything() -> None:
    assert chosen(caller(), M()) == 0
    assert chosen(caller(local_ip="", peer_ip="", local_port=0), M()) == 0


def test_what_nothing_matches_goes_to_the_default() -> None:
    assert chosen(caller(), M(destination_port=80)) is None
    assert chosen(caller(), M(destination_port=80), default=9) == 9
    assert chosen(caller(), default=9) == 9
    assert chosen(caller()) is None


def test_a_chain_without_criteria_is_last_but_before_the_default() -> None:
    assert chosen(caller(), M(), M(destination_port=443), default=9) == 1
    assert chosen(caller(local_port=80), M(), M(destination_port=443), default=9) == 0


def test_the_longest_prefix_wins() -> None:
    matches = M(prefix_ranges=("10.0.0.0/8",)), M(prefix_ranges=("10.0.0.0/24", "11.0.0.0/8")), M()
    assert chosen(caller(), *matches) == 1
    assert chosen(caller(local_ip="10.9.0.1"), *matches) == 0
    assert chosen(caller(local_ip="11.0.0.1"), *matches) == 1
    assert chosen(caller(local_ip="172.16.0.1"), *matches) == 2
    assert chosen(caller(local_ip="::1"), *matches) == 2
    assert chosen(caller(local_ip=""), *matches) == 2


def test_a_prefix_of_length_0_beats_none() -> None:
    assert chosen(caller(), M(), M(prefix_ranges=("0.0.0.0/0",))) == 1
    assert chosen(caller(local_ip="::1"), M(), M(prefix_ranges=("0.0.0.0/0",))) == 0


def test_bits_beyond_the_length_of_a_prefix_do_not_count() -> None:
    assert chosen(caller(), M(prefix_ranges=("10.0.0.99/24",))) == 0


def test_ipv6_prefixes_match() -> None:
    assert chosen(caller(local_ip="2001:db8::5"), M(prefix_ranges=("2001:db8::/32",))) == 0


@pytest.mark.parametrize(
    ("server_name", "expected"),
    [
        ("www.example.com", 0),
        ("WWW.Example.COM", 0),
        ("api.example.com", 1),
        ("a.b.example.com", 1),
        ("a.sub.example.com", 2),
        ("example.com", 3),
        ("other.org", 3),
        ("", 3),
    ],
)
def test_exact_server_names_beat_wildcards_and_longer_ones_shorter_ones(server_name: str, expected: int) -> None:
    matches = (
        M(server_names=("www.example.com",)),
        M(server_names=("*.example.com",)),
        M(server_names=("*.sub.example.com",)),
        M(),
    )
    assert chosen(caller(server_name=server_name), *matches) == expected


def test_protocols_are_matched_as_they_were_sniffed() -> None:
    matches = M(transport_protocol="tls", application_protocols=("h2",)), M(transport_protocol="tls"), M()
    assert chosen(caller(transport_protocol="tls", application_protocols=("http/1.1", "h2")), *matches) == 0
    assert chosen(caller(transport_protocol="tls", application_protocols=("http/1.1",)), *matches) == 1
    assert chosen(caller(transport_protocol="tls", alpn="h2"), *matches) == 1  # negotiated when the chain is known
    assert chosen(caller(), *matches) == 2


def test_the_source_is_matched_by_prefix_and_port() -> None:
    matches = M(source_prefix_ranges=("192.0.2.0/24",), source_ports=(5000,)), M(source_prefix_ranges=("192.0.2.0/24",))
    assert chosen(caller(), *matches) == 0
    assert chosen(caller(peer_port=6000), *matches) == 1
    assert chosen(caller(peer_ip="198.51.100.1"), *matches) is None


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        (M(destination_port=443), M(prefix_ranges=("10.0.0.1/32",))),
        (M(prefix_ranges=("0.0.0.0/0",)), M(server_names=("a.example",))),
        (M(server_names=("*.example",)), M(transport_protocol="tls")),
        (M(transport_protocol="tls"), M(application_protocols=("h2",))),
        (M(application_protocols=("h2",)), M(source_prefix_ranges=("192.0.2.7/32",))),
        (M(source_prefix_ranges=("0.0.0.0/0",)), M(source_ports=(5000,))),
    ],
)
def test_criteria_are_weighed_in_the_order_of_envoy(stronger: FilterChainMatch, weaker: FilterChainMatch) -> None:
    connection = caller(server_name="a.example", transport_protocol="tls", application_protocols=("h2",))
    assert chosen(connection, weaker, stronger) == 1
    assert chosen(connection, stronger, weaker) == 0


def test_a_prefix_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0/8"):
        chosen(caller(), M(prefix_ranges=("10.0.0/8",)))
