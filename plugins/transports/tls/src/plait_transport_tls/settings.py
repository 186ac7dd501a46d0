"""The settings of both sides, frozen. Certificates and keys are here themselves: workers open no files."""

from __future__ import annotations

import attrs

from plait import StringMatcher

NAME = "envoy.transport_sockets.tls"


class Secret:
    """Bytes that no dump, log or traceback shows."""

    __slots__ = ("value",)

    def __init__(self, value: bytes = b"") -> None:
        self.value = value

    def __repr__(self) -> str:
        return "[redacted]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)


@attrs.frozen
class KeyPair:
    """envoy…tls.v3.TlsCertificate: ``chain`` in PEM, the leaf first, and its ``key``."""

    chain: bytes
    key: Secret
    password: Secret = attrs.field(factory=Secret)


@attrs.frozen
class SanMatcher:
    """envoy…tls.v3.SubjectAltNameMatcher; ``kind`` is dns, uri, ip_address or email."""

    kind: str
    matcher: StringMatcher


@attrs.frozen
class Validation:
    """envoy…tls.v3.CertificateValidationContext. Hashes are those of the leaf: of all of it, or of its public key."""

    trusted_ca: bytes = b""
    system_roots: bool = False
    crl: bytes = b""
    crl_of_leaf_only: bool = False
    sans: tuple[SanMatcher, ...] = ()
    certificate_hashes: tuple[bytes, ...] = ()
    spki_hashes: tuple[bytes, ...] = ()

    @property
    def has_roots(self) -> bool:
        """Whether a chain can be verified at all."""
        return bool(self.trusted_ca) or self.system_roots


@attrs.frozen
class CommonTls:
    """envoy…tls.v3.CommonTlsContext; ``ciphers`` as OpenSSL writes them, "" for its defaults."""

    certificates: tuple[KeyPair, ...] = ()
    validation: Validation = Validation()
    alpn: tuple[str, ...] = ()
    minimum: str = "TLSv1_2"
    maximum: str = "TLSv1_3"
    ciphers: str = ""


@attrs.frozen
class DownstreamTls:
    """envoy…tls.v3.DownstreamTlsContext."""

    common: CommonTls
    require_client_certificate: bool = False
    require_sni: bool = False
    session_tickets: bool = True
    prefer_client_ciphers: bool = False


@attrs.frozen
class UpstreamTls:
    """envoy…tls.v3.UpstreamTlsContext."""

    common: CommonTls = CommonTls()
    sni: str = ""
    auto_host_sni: bool = False
    auto_sni_san_validation: bool = False
