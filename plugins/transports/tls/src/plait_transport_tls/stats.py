"""Envoy's statistics of TLS, below ``listener.<address>.ssl.`` and ``cluster.<name>.ssl.``."""

from __future__ import annotations

import ssl

from plait import Context, Counter


class TlsStats:
    """The counters of one listener or cluster."""

    def __init__(self, context: Context) -> None:
        self._stats = context.stats
        self._prefix = f"{context.stat_prefix}.ssl."
        self.handshake = self.counter("handshake")
        self.session_reused = self.counter("session_reused")
        self.no_certificate = self.counter("no_certificate")
        self.connection_error = self.counter("connection_error")
        self.fail_verify_no_cert = self.counter("fail_verify_no_cert")
        self.fail_verify_error = self.counter("fail_verify_error")
        self.fail_verify_san = self.counter("fail_verify_san")
        self.fail_verify_cert_hash = self.counter("fail_verify_cert_hash")
        self._named: dict[str, Counter] = {}

    def counter(self, name: str) -> Counter:
        """The counter called ``name`` here."""
        return self._stats.counter(self._prefix + name)

    def shaken(self, ssl_object: ssl.SSLObject, certificate: bool) -> None:
        """Count a handshake that went well."""
        self.handshake.value += 1
        if ssl_object.session_reused:
            self.session_reused.value += 1
        if not certificate:
            self.no_certificate.value += 1
        cipher = ssl_object.cipher()
        self._seldom(f"versions.{ssl_object.version()}").value += 1
        if cipher is not None:
            self._seldom(f"ciphers.{cipher[0]}").value += 1

    def failed(self, error: ssl.SSLError) -> None:
        """Count one that did not."""
        if isinstance(error, ssl.SSLCertVerificationError):
            self.fail_verify_error.value += 1
        elif error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            self.fail_verify_no_cert.value += 1
        else:
            self.connection_error.value += 1

    def _seldom(self, name: str) -> Counter:
        found = self._named.get(name)
        if found is None:
            found = self._named[name] = self.counter(name)
        return found


def reason_of(error: ssl.SSLError) -> str:
    """What OpenSSL says, in lower case and without its places in the source."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    return str(error.reason or error).lower().replace("_", " ")
