"""From Envoy's TLS contexts to the settings. Only where configuration is read.

Files are read here, so that workers need none and a reload takes new ones; whatever OpenSSL would refuse of them is
refused here, at its place.
"""

from __future__ import annotations

import binascii
import ssl
from typing import Any

from plait import ConfigError
from plait.xds import Translator, Where, data_source, enum_name, string_matcher
from plait_transport_tls.certificate import read_pem
from plait_transport_tls.contexts import load_key_pair, load_trust
from plait_transport_tls.settings import CommonTls, DownstreamTls, KeyPair, SanMatcher, Secret, UpstreamTls, Validation
from plait_transport_tls.stats import reason_of

_ELSEWHERE = {
    "tls_certificate_sds_secret_configs",
    "validation_context_sds_secret_config",
    "combined_validation_context",
}
"""Where else certificates may come from; not from here yet."""
_COMMON = {"tls_params", "tls_certificates", "validation_context", "alpn_protocols"}
_DOWNSTREAM = {
    "common_tls_context", "require_client_certificate", "require_sni", "disable_stateless_session_resumption",
    "prefer_client_ciphers", "ocsp_staple_policy",
}  # fmt: skip
_DOWNSTREAM_NO_EFFECT = {
    "session_timeout": "OpenSSL's default stays",
    "disable_stateful_session_resumption": "sessions are kept by callers alone, in tickets",
    "full_scan_certs_on_sni_mismatch": "the first certificate is shown to who asks for no name of them",
}
_UPSTREAM = {"common_tls_context", "sni", "auto_host_sni", "auto_sni_san_validation"}
_UPSTREAM_NO_EFFECT = {
    "max_session_keys": "sessions with upstreams are not resumed",
    "enforce_rsa_key_usage": "OpenSSL's rules for key usage apply",
}
_VALIDATION = {
    "trusted_ca", "system_root_certs", "crl", "only_verify_leaf_cert_crl", "match_typed_subject_alt_names",
    "match_subject_alt_names", "verify_certificate_hash", "verify_certificate_spki", "trust_chain_verification",
}  # fmt: skip
_VERSIONS = {"tls_auto": "", "tlsv1_2": "TLSv1_2", "tlsv1_3": "TLSv1_3"}
_KINDS = ("dns", "uri", "email", "ip_address")
_HASH_BYTES = 32
_NAME_BYTES = 255


def downstream_tls(message: Any, where: Where, translator: Translator) -> DownstreamTls:
    """Of a filter chain; raises ConfigError for what keeps it from being one."""
    translator.only(message, where, _DOWNSTREAM, _DOWNSTREAM_NO_EFFECT)
    at = where / "common_tls_context"
    common = _common(message.common_tls_context, at, translator, verify_by_hash=False)
    if not message.common_tls_context.tls_certificates and not _has_sds(message.common_tls_context):
        raise at.error("there is no certificate to show to callers", expected="tls_certificates")
    required = message.require_client_certificate.value
    if required and not common.validation.has_roots and not _has_sds(message.common_tls_context):
        what = "a client certificate is required, and nothing says whose"
        expected = "validation_context: {trusted_ca: …}"
        translator.report((where / "require_client_certificate").error(what, expected=expected))
    if message.ocsp_staple_policy and enum_name(message, "ocsp_staple_policy") != "lenient_stapling":
        what = f"ocsp_staple_policy {enum_name(message, 'ocsp_staple_policy').upper()} is not supported yet by plait"
        translator.report((where / "ocsp_staple_policy").error(what, expected="LENIENT_STAPLING"))
    return DownstreamTls(
        common,
        require_client_certificate=required,
        require_sni=message.require_sni.value,
        session_tickets=not message.disable_stateless_session_resumption,
        prefer_client_ciphers=message.prefer_client_ciphers,
    )


def upstream_tls(message: Any, where: Where, translator: Translator) -> UpstreamTls:
    """Of a cluster; raises ConfigError for what keeps it from being one."""
    translator.only(message, where, _UPSTREAM, _UPSTREAM_NO_EFFECT)
    at = where / "common_tls_context"
    common = _common(message.common_tls_context, at, translator, verify_by_hash=True)
    if len(common.certificates) > 1:
        what = f"there are {len(common.certificates)} certificates for one client"
        translator.report((at / "tls_certificates").error(what, expected="at most one"))
    if message.sni:
        _check_sni(message.sni, where / "sni", translator)
    if message.auto_sni_san_validation:
        if not message.sni and not message.auto_host_sni:
            what = "auto_sni_san_validation is set, and no name is asked for"
            translator.report((where / "auto_sni_san_validation").error(what, expected="sni or auto_host_sni"))
        _needs_roots(common.validation, where / "auto_sni_san_validation", translator)
    validation = common.validation
    if not (validation.has_roots or validation.certificate_hashes or validation.spki_hashes) and not _has_sds(
        message.common_tls_context
    ):
        translator.warn(where, "the upstream's certificate is not verified: the validation_context has no trusted_ca")
    return UpstreamTls(
        common,
        sni=message.sni,
        auto_host_sni=message.auto_host_sni,
        auto_sni_san_validation=message.auto_sni_san_validation,
    )


def _common(message: Any, where: Where, translator: Translator, *, verify_by_hash: bool) -> CommonTls:
    translator.only(message, where, _COMMON)
    pairs = []
    for index, one in enumerate(message.tls_certificates):
        with translator.collect():
            pairs.append(_key_pair(one, where / "tls_certificates" / index, translator))
    validation = Validation()
    if message.HasField("validation_context"):
        at = where / "validation_context"
        validation = _validation(message.validation_context, at, translator)
        hashes = validation.certificate_hashes or validation.spki_hashes
        if hashes and not validation.has_roots and not verify_by_hash:
            what = "hashes alone cannot verify callers: OpenSSL asks them for no certificate then"
            translator.report(at.error(what, expected="trusted_ca besides"))
    for index, name in enumerate(message.alpn_protocols):
        if not 1 <= len(name.encode()) <= _NAME_BYTES or not name.isascii():
            at = where / "alpn_protocols" / index
            translator.report(at.error(f"{name!r} is no name of a protocol", expected="1 to 255 ASCII characters"))
    minimum, maximum, ciphers = _parameters(message.tls_params, where / "tls_params", translator)
    return CommonTls(tuple(pairs), validation, tuple(message.alpn_protocols), minimum, maximum, ciphers)


def _has_sds(message: Any) -> bool:
    """Whether something was reported already that would have given what is missing."""
    return any(field.name in _ELSEWHERE for field, _ in message.ListFields())


def _parameters(message: Any, where: Where, translator: Translator) -> tuple[str, str, str]:
    handled = {"tls_minimum_protocol_version", "tls_maximum_protocol_version", "cipher_suites"}
    translator.only(message, where, handled)
    versions = []
    for field, default in (("tls_minimum_protocol_version", "TLSv1_2"), ("tls_maximum_protocol_version", "TLSv1_3")):
        name = enum_name(message, field)
        if name not in _VERSIONS:
            what = f"{field} is {getattr(message, field) if name.isdigit() else name}, which is not safe"
            translator.report((where / field).error(what, expected="TLSv1_2 or TLSv1_3"))
        versions.append(_VERSIONS.get(name) or default)
    minimum, maximum = versions
    if minimum > maximum:
        what = f"the lowest version is {minimum}, and the highest {maximum}"
        translator.report((where / "tls_maximum_protocol_version").error(what, expected=f"{minimum} or higher"))
        maximum = minimum
    return minimum, maximum, _ciphers(message.cipher_suites, where / "cipher_suites", translator)


def _ciphers(suites: Any, where: Where, translator: Translator) -> str:
    """Envoy's list as OpenSSL's; suites in brackets are equal to each other there, and one after the other here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found: list[str] = []
    for index, suite in enumerate(suites):
        for name in suite.strip("[]").split("|"):
            try:
                context.set_ciphers(name)
            except ssl.SSLError:
                what = f"{name!r} is no cipher suite of TLS 1.2 that OpenSSL has"
                translator.report((where / index).error(what, expected="a name such as ECDHE-RSA-AES128-GCM-SHA256"))
            else:
                found.append(name)
    return ":".join(found)


def _key_pair(message: Any, where: Where, translator: Translator) -> KeyPair:
    translator.only(message, where, {"certificate_chain", "private_key", "password"})
    for field in ("certificate_chain", "private_key"):
        if not message.HasField(field):
            raise where.error(f"the certificate has no {field}", expected=f"{field}: {{filename: …}}")
    chain = data_source(message.certificate_chain, where / "certificate_chain")
    key = data_source(message.private_key, where / "private_key")
    password = b""
    if message.HasField("password"):
        password = data_source(message.password, where / "password").rstrip(b"\r\n")
    chain_at = _source(message.certificate_chain, where / "certificate_chain")
    key_at = _source(message.private_key, where / "private_key")
    try:
        read_pem(chain)
    except (ValueError, binascii.Error) as error:
        raise chain_at.error(f"this is no certificate: {error}", expected="certificates in PEM") from error
    if b"-----BEGIN " not in key or b"PRIVATE KEY-----" not in key:
        raise key_at.error("this is no private key", expected="one in PEM")
    pair = KeyPair(chain, Secret(key), Secret(password))
    try:
        load_key_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair)
    except ssl.SSLError as error:
        raise _bad_pair(error, b"ENCRYPTED" in key, bool(password), chain_at, key_at) from error
    return pair


def _bad_pair(error: ssl.SSLError, encrypted: bool, password: bool, chain: Where, key: Where) -> ConfigError:
    if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
        return key.error("the key does not belong to the certificate", expected="the one that it was made for")
    if encrypted and not password:
        return key.error("the key is encrypted", expected="its password in password: {filename: …}")
    if encrypted:
        return key.error("the key cannot be decrypted with this password")
    if error.reason and ("EE_KEY" in error.reason or "CA_" in error.reason or "MD_" in error.reason):
        return chain.error(f"OpenSSL does not take this certificate: {reason_of(error)}")
    return key.error(f"OpenSSL does not take this key: {reason_of(error)}", expected="a private key in PEM")


def _source(message: Any, where: Where) -> Where:
    """The place of what a DataSource names."""
    kind = message.WhichOneof("specifier")
    return where / kind if kind else where


def _validation(message: Any, where: Where, translator: Translator) -> Validation:
    translator.only(message, where, _VALIDATION)
    if message.trust_chain_verification:
        what = "trust_chain_verification ACCEPT_UNTRUSTED is not supported yet by plait"
        translator.report((where / "trust_chain_verification").error(what, expected="VERIFY_TRUST_CHAIN"))
    translator.only(message.system_root_certs, where / "system_root_certs", ())
    roots = Validation(
        trusted_ca=_pem(message, "trusted_ca", where, translator),
        system_roots=message.HasField("system_root_certs"),
    )
    crl = _pem(message, "crl", where, translator)
    sans = [*_typed_sans(message.match_typed_subject_alt_names, where / "match_typed_subject_alt_names", translator)]
    for index, one in enumerate(message.match_subject_alt_names):
        with translator.collect():  # the older field, which looks at names of every kind
            matcher = string_matcher(one, where / "match_subject_alt_names" / index)
            sans += [SanMatcher(kind, matcher) for kind in _KINDS]
    if sans:
        _needs_roots(roots, where, translator)
    return Validation(
        trusted_ca=roots.trusted_ca,
        system_roots=roots.system_roots,
        crl=crl,
        crl_of_leaf_only=message.only_verify_leaf_cert_crl,
        sans=tuple(sans),
        certificate_hashes=_hashes(message, "verify_certificate_hash", where, translator),
        spki_hashes=_hashes(message, "verify_certificate_spki", where, translator),
    )


def _needs_roots(validation: Validation, where: Where, translator: Translator) -> None:
    if not validation.has_roots:
        what = "names in certificates are matched, and nothing says whose certificates count"
        translator.report(where.error(what, expected="trusted_ca besides"))


def _pem(message: Any, field: str, where: Where, translator: Translator) -> bytes:
    """The data of ``trusted_ca`` or ``crl``, which OpenSSL has taken once."""
    if not message.HasField(field):
        return b""
    data = b""
    with translator.collect():
        data = data_source(getattr(message, field), where / field)
        at = _source(getattr(message, field), where / field)
        tried = Validation(trusted_ca=data) if field == "trusted_ca" else Validation(crl=data)
        what = "certificates" if field == "trusted_ca" else "revocation lists"
        try:
            load_trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), tried)
        except ssl.SSLError as error:
            raise at.error(f"OpenSSL finds no {what} here: {reason_of(error)}", expected=f"{what} in PEM") from error
    return data


def _typed_sans(messages: Any, where: Where, translator: Translator) -> list[SanMatcher]:
    found = []
    for index, one in enumerate(messages):
        at = where / index
        with translator.collect():
            translator.only(one, at, {"san_type", "matcher"})
            kind = enum_name(one, "san_type")
            if kind not in _KINDS:
                what = f"san_type {kind.upper()} is not supported yet by plait"
                raise (at / "san_type").error(what, expected=f"one of {', '.join(name.upper() for name in _KINDS)}")
            found.append(SanMatcher(kind, string_matcher(one.matcher, at / "matcher")))
    return found


def _hashes(message: Any, field: str, where: Where, translator: Translator) -> tuple[bytes, ...]:
    """SHA-256: of a certificate in hex, with colons or without; of a public key in base64."""
    found = []
    for index, text in enumerate(getattr(message, field)):
        try:
            hexadecimal = field == "verify_certificate_hash"
            value = bytes.fromhex(text.replace(":", "")) if hexadecimal else binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            value = b""
        if len(value) != _HASH_BYTES:
            expected = "64 hexadecimal digits" if field == "verify_certificate_hash" else "44 characters of base64"
            translator.report((where / field / index).error(f"{text!r} is no SHA-256", expected=expected))
        found.append(value)
    return tuple(found)


def _check_sni(name: str, where: Where, translator: Translator) -> None:
    try:
        encoded = name.encode("idna")
    except UnicodeError:
        encoded = b""
    if not encoded or len(encoded) > _NAME_BYTES or name.startswith("."):
        translator.report(where.error(f"{name!r} is no name of a server", expected="a DNS name"))
