"""From settings to OpenSSL's contexts. Raises ``ssl.SSLError`` or ValueError for what OpenSSL does not take.

Keys and revocation lists can be given to OpenSSL by path only. Here the path is that of a file in memory which nobody
else can open, and that is gone when it was read.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator, Sequence

from plait_transport_tls.certificate import read_pem
from plait_transport_tls.settings import CommonTls, DownstreamTls, KeyPair, UpstreamTls, Validation
from plait_transport_tls.validation import dns_name_covers

_VERSIONS = {"TLSv1_2": ssl.TLSVersion.TLSv1_2, "TLSv1_3": ssl.TLSVersion.TLSv1_3}
_MISSING_EXTENSION = 109  # RFC 8446 section 6.2


def server_context(settings: DownstreamTls) -> ssl.SSLContext:
    """What callers meet. With several certificates, the server name that they ask for decides."""
    groups = _by_names(settings.common.certificates)
    contexts = [(names, _server_context(settings, pairs)) for names, pairs in groups]
    first = contexts[0][1]
    other = len(contexts) > 1

    def named(ssl_object: ssl.SSLObject, server_name: str | None, context: ssl.SSLContext) -> int | None:
        ssl_object.requested_name = server_name or ""  # type: ignore[attr-defined]
        if server_name is None:
            return _MISSING_EXTENSION if settings.require_sni else None
        if other:
            ssl_object.context = _pick(contexts, server_name)
        return None

    first.sni_callback = named
    return first


def client_context(settings: UpstreamTls, alpn: Sequence[str]) -> ssl.SSLContext:
    """How to call an upstream."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # Envoy's rules for names are not OpenSSL's: see ``validation``
    common = settings.common
    _set_up(context, common, alpn)
    context.verify_mode = ssl.CERT_REQUIRED if common.validation.has_roots else ssl.CERT_NONE
    for pair in common.certificates:
        load_key_pair(context, pair)
    return context


def load_key_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Give a context a certificate and its key."""
    with file_of(pair.chain) as chain, file_of(pair.key.value) as key:
        # never without a password: OpenSSL would ask for it at the terminal
        context.load_cert_chain(chain, key, password=pair.password.value)


def load_trust(context: ssl.SSLContext, validation: Validation) -> None:
    """Tell a context whom to trust, and what was revoked."""
    if validation.trusted_ca:
        with file_of(validation.trusted_ca) as path:
            context.load_verify_locations(path)
        # as Envoy does, an intermediate may be all that is trusted
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if validation.system_roots:
        context.load_default_certs()
    if validation.crl:
        with file_of(validation.crl) as path:
            context.load_verify_locations(path)
        leaf_only = validation.crl_of_leaf_only
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF if leaf_only else ssl.VERIFY_CRL_CHECK_CHAIN


@contextlib.contextmanager
def file_of(data: bytes) -> Iterator[str]:
    """A path under which ``data`` can be read during the block."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:  # its mode is 0600
            file.write(data)
            file.flush()
            yield file.name
        return
    descriptor = os.memfd_create("plait-tls")
    try:
        os.set_blocking(descriptor, False)  # it never blocks, and may say so
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _server_context(settings: DownstreamTls, pairs: Sequence[KeyPair]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    common = settings.common
    _set_up(context, common, common.alpn)
    if settings.require_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
    elif common.validation.has_roots:
        context.verify_mode = ssl.CERT_OPTIONAL
    if not settings.session_tickets:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    if settings.prefer_client_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    for pair in reversed(pairs):  # of two with keys of one kind, OpenSSL keeps the one that it got last
        load_key_pair(context, pair)
    return context


def _set_up(context: ssl.SSLContext, common: CommonTls, alpn: Sequence[str]) -> None:
    context.minimum_version = _VERSIONS[common.minimum]
    context.maximum_version = _VERSIONS[common.maximum]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if common.ciphers:
        context.set_ciphers(common.ciphers)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    load_trust(context, common.validation)


def _by_names(pairs: Sequence[KeyPair]) -> list[tuple[tuple[str, ...], list[KeyPair]]]:
    """Pairs for the same names are one for each kind of key, and belong together."""
    groups: dict[tuple[str, ...], list[KeyPair]] = {}
    for pair in pairs:
        names = tuple(sorted(name.lower() for name in read_pem(pair.chain).certificate.dns_names))
        groups.setdefault(names, []).append(pair)
    return list(groups.items())


def _pick(contexts: Sequence[tuple[tuple[str, ...], ssl.SSLContext]], name: str) -> ssl.SSLContext:
    """The one with this very name, or with a wildcard for it, or the first."""
    lowered = name.lower()
    for names, context in contexts:
        if lowered in names:
            return context
    for names, context in contexts:
        if any(dns_name_covers(pattern, lowered) for pattern in names):
            return context
    return contexts[0][1]
