"""Virtual hosts are found in Envoy's order of domains."""

import pytest

from plait.api import ConfigError
from plait_filter_router.domains import Domains, without_port

ORDER = Domains(
    [
        (("*",), "any"),
        (("*.example.com",), "short suffix"),
        (("*.a.example.com", "*-b.example.com"), "long suffix"),
        (("api.*",), "short prefix"),
        (("api.v2.*",), "long prefix"),
        (("api.example.com", "host:8080"), "exact"),
    ]
)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"api.example.com", "exact"),
        (b"API.Example.COM", "exact"),
        (b"x.a.example.com", "long suffix"),
        (b"x-b.example.com", "long suffix"),
        (b"x.example.com", "short suffix"),
        (b"api.v2.org", "long prefix"),
        (b"api.v1.org", "short prefix"),
        (b"api.v2.x.example.com", "short suffix"),
        (b"host:8080", "exact"),
        (b"host", "any"),
        (b".example.com", "any"),
        (b"", "any"),
    ],
)
def test_most_specific_domain_wins(host: bytes, expected: str) -> None:
    assert ORDER.find(host) == expected
    assert ORDER.find(host) == expected, "the second time from what is remembered"


def test_host_of_no_domain_has_no_answer() -> None:
    assert Domains([(("a",), "a")]).find(b"b") is None


def test_port_is_part_of_the_host_unless_ignored() -> None:
    entries = [(("a.example",), "a"), (("[::1]",), "six")]
    assert Domains(entries).find(b"a.example:80") is None
    ignoring = Domains(entries, ignore_port=True)
    assert ignoring.find(b"a.example:80") == "a"
    assert ignoring.find(b"[::1]:80") == "six"
    assert ignoring.find(b"a.example:http") is None


def test_without_port_leaves_addresses_alone() -> None:
    assert [without_port(host) for host in (b"a:1", b"[::1]", b"::1", b"a")] == [b"a", b"[::1]", b"::1", b"a"]


def test_callers_cannot_fill_the_memory_with_hosts() -> None:
    domains = Domains([(("a",), "a")])
    for number in range(3000):
        domains.find(b"%d.example" % number)
    assert len(domains._remembered) <= 1024


@pytest.mark.parametrize("domain", ["a.*.b", "*a*", "", "**"])
def test_wildcard_in_the_middle_is_refused(domain: str) -> None:
    with pytest.raises(ConfigError, match="is not understood"):
        Domains([((domain,), 1)])


def test_domain_in_two_virtual_hosts_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'A\.example' is in two virtual hosts"):
        Domains([(("a.example",), 1), (("A.example",), 2)])


def test_services_of_an_rpc_are_told_apart_by_case() -> None:
    domains = Domains([(("shop.Cart",), 1), (("shop.cart",), 2), (("Shop.*",), 3), (("*.Q",), 4)], any_case=False)
    hosts = (b"shop.Cart", b"shop.cart", b"shop.CART", b"Shop.X", b"x.Q", b"x.q")
    assert [domains.find(host) for host in hosts] == [1, 2, None, 3, 4, None]
