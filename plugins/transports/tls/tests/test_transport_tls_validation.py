"""Envoy's rules for the names and hashes of a peer's certificate."""

from __future__ import annotations

import hashlib

import pytest

from plait import Certificate, StringMatcher
from plait_transport_tls.certificate import Read
from plait_transport_tls.settings import SanMatcher, Validation
from plait_transport_tls.validation import Validator, dns_name_covers

PEER = Read(
    Certificate(
        dns_names=("*.shop.example", "Shop.example"),
        uris=("spiffe://mesh/shop",),
        ip_addresses=("192.0.2.7",),
        email_addresses=("buyer@shop.example",),
        fingerprint=hashlib.sha256(b"certificate").hexdigest(),
    ),
    hashlib.sha256(b"key").digest(),
)


@pytest.mark.parametrize(
    ("kind", "matcher", "matches"),
    [
        ("dns", StringMatcher("exact", "shop.example"), True),
        ("dns", StringMatcher("exact", "EU.shop.example"), True),
        ("dns", StringMatcher("exact", "a.eu.shop.example"), False),
        ("dns", StringMatcher("exact", "spiffe://mesh/shop"), False),
        ("dns", StringMatcher("suffix", "shop.example"), True),
        ("uri", StringMatcher("exact", "spiffe://mesh/shop"), True),
        ("uri", StringMatcher("prefix", "spiffe://mesh/"), True),
        ("uri", StringMatcher("contains", "MESH", ignore_case=True), True),
        ("uri", StringMatcher("safe_regex", "spiffe://[a-z]+/shop"), True),
        ("uri", StringMatcher("safe_regex", "spiffe://[a-z]+"), False),
        ("ip_address", StringMatcher("exact", "192.0.2.7"), True),
        ("ip_address", StringMatcher("exact", "192.0.2.8"), False),
        ("email", StringMatcher("suffix", "@shop.example"), True),
        ("email", StringMatcher("suffix", "@bank.example"), False),
    ],
)
def test_a_matcher_looks_at_names_of_its_kind(kind: str, matcher: StringMatcher, matches: bool) -> None:
    validator = Validator(Validation(trusted_ca=b"x", sans=(SanMatcher(kind, matcher),)))
    assert validator.check(PEER) == ("" if matches else "fail_verify_san")


def test_one_matcher_of_several_is_enough() -> None:
    wrong = SanMatcher("uri", StringMatcher("exact", "spiffe://mesh/bank"))
    right = SanMatcher("dns", StringMatcher("exact", "shop.example"))
    assert Validator(Validation(sans=(wrong, right))).check(PEER) == ""
    assert Validator(Validation(sans=(wrong,))).check(PEER) == "fail_verify_san"


def test_one_hash_of_certificate_or_key_is_enough() -> None:
    certificate, key, other = (hashlib.sha256(one).digest() for one in (b"certificate", b"key", b"other"))
    for validation in (
        Validation(certificate_hashes=(other, certificate)),
        Validation(spki_hashes=(key,)),
        Validation(certificate_hashes=(other,), spki_hashes=(key,)),
    ):
        assert Validator(validation).check(PEER) == ""
    for validation in (Validation(certificate_hashes=(key,)), Validation(spki_hashes=(certificate,))):
        assert Validator(validation).check(PEER) == "fail_verify_cert_hash"


def test_who_shows_nothing_passes_unless_a_hash_is_wanted() -> None:
    san = SanMatcher("uri", StringMatcher("exact", "a"))
    assert Validator(Validation()).check(None) == ""
    assert Validator(Validation(sans=(san,))).check(None) == ""
    assert Validator(Validation(spki_hashes=(b"x",))).check(None) == "fail_verify_no_cert"


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("a.example", "A.EXAMPLE", True),
        ("*.a.example", "b.a.example", True),
        ("*.a.example", "a.example", False),
        ("*.a.example", ".a.example", False),
        ("*.a.example", "c.b.a.example", False),
        ("b*.a.example", "bb.a.example", False),
        ("*", "example", False),
        ("a.example", "", False),
    ],
)
def test_a_wildcard_stands_for_one_label(pattern: str, name: str, covered: bool) -> None:
    assert dns_name_covers(pattern, name) is covered
