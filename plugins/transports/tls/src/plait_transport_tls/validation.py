"""Whether a peer's certificate, whose chain OpenSSL has verified, is that of who may be here: its names and hashes."""

from __future__ import annotations

from collections.abc import Callable

from plait import Certificate, StringMatcher
from plait.stream import compile_string
from plait_transport_tls.certificate import Read
from plait_transport_tls.settings import SanMatcher, Validation

Names = Callable[[Certificate], tuple[str, ...]]

_NAMES: dict[str, Names] = {
    "dns": lambda certificate: certificate.dns_names,
    "uri": lambda certificate: certificate.uris,
    "ip_address": lambda certificate: certificate.ip_addresses,
    "email": lambda certificate: certificate.email_addresses,
}


class Validator:
    """The rules of one ``Validation``, compiled; ``check`` gives the name of the counter of what failed, or ""."""

    def __init__(self, validation: Validation) -> None:
        self._sans = [_compile(one) for one in validation.sans]
        self._certificates = frozenset(validation.certificate_hashes)
        self._keys = frozenset(validation.spki_hashes)
        self.asks = bool(self._sans or self._certificates or self._keys)

    def check(self, read: Read | None) -> str:
        """What of the leaf is not as it must be: ``fail_verify_san``, ``fail_verify_cert_hash`` …; "" if nothing."""
        if not self.asks:
            return ""
        if read is None:  # where one had to be shown, the handshake failed; a pinned one has to be, as in Envoy
            return "fail_verify_no_cert" if self._certificates or self._keys else ""
        certificate = read.certificate
        if self._sans and not any(matches(certificate) for matches in self._sans):
            return "fail_verify_san"
        if self._certificates or self._keys:
            known = bytes.fromhex(certificate.fingerprint) in self._certificates or read.spki_hash in self._keys
            return "" if known else "fail_verify_cert_hash"
        return ""


def is_named(certificate: Certificate, name: str) -> bool:
    """Whether one of the certificate's DNS names is ``name``; a wildcard stands for one label."""
    return any(dns_name_covers(pattern, name) for pattern in certificate.dns_names)


def dns_name_covers(pattern: str, name: str) -> bool:
    """RFC 6125 section 6.4: without regard to case; ``*`` only as the whole first label, and for one label."""
    pattern, name = pattern.lower(), name.lower()
    if pattern == name:
        return True
    first, dot, rest = name.partition(".")
    return bool(first and dot) and pattern.startswith("*.") and pattern[2:] == rest


def _compile(san: SanMatcher) -> Callable[[Certificate], bool]:
    names, matcher = _NAMES[san.kind], san.matcher
    if san.kind == "dns" and matcher.kind == "exact":
        wanted = matcher.value
        return lambda certificate: is_named(certificate, wanted)
    return _matching(names, matcher)


def _matching(names: Names, matcher: StringMatcher) -> Callable[[Certificate], bool]:
    matches = compile_string(matcher)
    return lambda certificate: any(matches(name.encode()) for name in names(certificate))
