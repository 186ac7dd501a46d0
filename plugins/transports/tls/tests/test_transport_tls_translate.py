"""TLS contexts of Envoy's API: what becomes of them, and what is refused at its place."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from cryptography.hazmat.primitives import serialization

from plait import Bootstrap, ConfigError, StringMatcher
from plait.plugins import Catalogue, discover
from plait.runtime.plain import plain
from plait.testing import check_plugin
from plait.xds import load_bootstrap
from plait_transport_tls.settings import DownstreamTls, SanMatcher, Secret, UpstreamTls

CA = trustme.CA()
SERVER, OTHER = CA.issue_cert("shop.example"), CA.issue_cert("bank.example")
KEY: Any = serialization.load_pem_private_key(SERVER.private_key_pem.bytes(), None)
ENCRYPTED = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"open sesame"),
)

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
_TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, blob in {
        "chain": SERVER.cert_chain_pems[0].bytes(),
        "key": SERVER.private_key_pem.bytes(),
        "other": OTHER.private_key_pem.bytes(),
        "ca": CA.cert_pem.bytes(),
        "encrypted": ENCRYPTED,
        "password": b"open sesame\n",
        "nonsense": b"nonsense",
        "bad": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    }.items():
        (tmp_path / name).write_bytes(blob)
    return tmp_path


def file(folder: Path, name: str) -> dict[str, str]:
    return {"filename": str(folder / name)}


def pair(folder: Path, chain: str = "chain", key: str = "key", **more: Any) -> dict[str, Any]:
    return {"certificate_chain": file(folder, chain), "private_key": file(folder, key), **more}


def load(downstream: dict[str, Any] | None, upstream: dict[str, Any] | None = None) -> Bootstrap:
    tcp = {"name": "tcp", "typed_config": {"@type": _TCP, "stat_prefix": "a", "cluster": "up"}}
    chain: dict[str, Any] = {"filters": [tcp]}
    cluster: dict[str, Any] = {"name": "up", "load_assignment": {"cluster_name": "up"}}
    if downstream is not None:
        config = {"@type": _TLS + "DownstreamTlsContext", **downstream}
        chain["transport_socket"] = {"name": "tls", "typed_config": config}
    if upstream is not None:
        config = {"@type": _TLS + "UpstreamTlsContext", **upstream}
        cluster["transport_socket"] = {"name": "tls", "typed_config": config}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 1}}
    listener = {"name": "l", "address": address, "filter_chains": [chain]}
    text = yaml.safe_dump({"static_resources": {"listeners": [listener], "clusters": [cluster]}})
    return load_bootstrap("", text, Catalogue(discover()))


def downstream(folder: Path, common: dict[str, Any] | None = None, **more: Any) -> DownstreamTls:
    config = {"common_tls_context": {"tls_certificates": [pair(folder)], **(common or {})}, **more}
    made = load(config).listeners[0].filter_chains[0].transport_socket
    assert made is not None
    assert isinstance(made.settings, DownstreamTls)
    return made.settings


def upstream(common: dict[str, Any], **more: Any) -> UpstreamTls:
    made = load(None, {"common_tls_context": common, **more}).clusters[0].transport_socket
    assert made is not None
    assert isinstance(made.settings, UpstreamTls)
    return made.settings


def test_the_plugin_is_what_it_says() -> None:
    check_plugin("transports:tls")


def test_a_context_of_callers_is_read_with_its_files(folder: Path) -> None:
    settings = downstream(
        folder,
        {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_2",
                "tls_maximum_protocol_version": "TLSv1_2",
                "cipher_suites": ["[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]", "AES128-SHA"],
            },
            "validation_context": {
                "trusted_ca": file(folder, "ca"),
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"prefix": "spiffe://mesh/"}}],
                "verify_certificate_hash": [":".join(["AB"] * 32)],
            },
        },
        require_client_certificate=True,
        require_sni=True,
        disable_stateless_session_resumption=True,
    )
    common = settings.common
    assert common.alpn == ("h2", "http/1.1")
    assert (common.minimum, common.maximum) == ("TLSv1_2", "TLSv1_2")
    assert common.ciphers == "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:AES128-SHA"
    assert common.certificates[0].chain == SERVER.cert_chain_pems[0].bytes()
    assert common.certificates[0].key == Secret(SERVER.private_key_pem.bytes())
    assert common.validation.sans == (SanMatcher("uri", StringMatcher("prefix", "spiffe://mesh/")),)
    assert common.validation.certificate_hashes == (b"\xab" * 32,)
    assert (settings.require_client_certificate, settings.require_sni, settings.session_tickets) == (True, True, False)


def test_a_context_of_an_upstream_is_read(folder: Path) -> None:
    settings = upstream(
        {"validation_context": {"trusted_ca": file(folder, "ca")}}, sni="shop.example", auto_sni_san_validation=True
    )
    assert settings.sni == "shop.example"
    assert settings.auto_sni_san_validation
    assert settings.common.validation.has_roots
    assert upstream({"validation_context": {"system_root_certs": {}}}).common.validation.has_roots


def test_the_older_matchers_look_at_names_of_every_kind(folder: Path) -> None:
    context = {"trusted_ca": file(folder, "ca"), "match_subject_alt_names": [{"exact": "a"}]}
    sans = upstream({"validation_context": context}).common.validation.sans
    assert {one.kind for one in sans} == {"dns", "uri", "email", "ip_address"}


def test_an_encrypted_key_comes_with_its_password(folder: Path) -> None:
    made = downstream(folder, {"tls_certificates": [pair(folder, key="encrypted", password=file(folder, "password"))]})
    assert made.common.certificates[0].password == Secret(b"open sesame")


def test_no_dump_shows_a_key_and_workers_get_it(folder: Path) -> None:
    settings = downstream(
        folder, {"tls_certificates": [pair(folder, key="encrypted", password=file(folder, "password"))]}
    )
    shown = f"{plain(settings)} {plain(settings, whole=True)} {settings}"
    assert "PRIVATE KEY" not in shown
    assert "sesame" not in shown
    assert "[redacted]" in shown
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_an_upstream_that_is_not_verified_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    upstream({})
    assert "the upstream's certificate is not verified" in caplog.text


ROOTS: dict[str, Any] = {"system_root_certs": {}}


def replaced(folder: Path, **fields: Any) -> dict[str, Any]:
    return {"tls_certificates": [{**pair(folder), **fields}]}


@pytest.mark.parametrize(
    ("common", "said"),
    [
        (lambda f: {"tls_certificates": []}, "there is no certificate to show to callers"),
        (lambda f: replaced(f, private_key=file(f, "other")), "the key does not belong to the certificate"),
        (lambda f: replaced(f, private_key=file(f, "gone")), "gone': No such file or directory"),
        (lambda f: replaced(f, private_key=file(f, "nonsense")), "this is no private key"),
        (lambda f: replaced(f, private_key=file(f, "chain")), "this is no private key"),
        (lambda f: replaced(f, certificate_chain=file(f, "nonsense")), "this is no certificate"),
        (lambda f: replaced(f, certificate_chain=file(f, "bad")), "this is no certificate"),
        (lambda f: replaced(f, private_key=file(f, "encrypted")), "the key is encrypted"),
        (
            lambda f: replaced(f, private_key=file(f, "encrypted"), password={"inline_string": "wrong"}),
            "the key cannot be decrypted with this password",
        ),
        (lambda f: {"tls_certificates": [{"certificate_chain": file(f, "chain")}]}, "has no private_key"),
        (lambda f: {"validation_context": {"trusted_ca": file(f, "nonsense")}}, "OpenSSL finds no certificates here"),
        (lambda f: {"validation_context": {"crl": file(f, "nonsense")}}, "OpenSSL finds no revocation lists here"),
        (
            lambda f: {"validation_context": {"match_typed_subject_alt_names": [
                {"san_type": "URI", "matcher": {"exact": "a"}}]}},
            "nothing says whose certificates count",
        ),
        (
            lambda f: {"validation_context": {"trusted_ca": file(f, "ca"), "match_typed_subject_alt_names": [
                {"san_type": "OTHER_NAME", "matcher": {"exact": "a"}}]}},
            "san_type OTHER_NAME is not supported yet",
        ),
        (lambda _: {"validation_context": {**ROOTS, "verify_certificate_hash": ["abc"]}}, "is no SHA-256"),
        (lambda _: {"validation_context": {**ROOTS, "verify_certificate_spki": ["AAAA"]}}, "is no SHA-256"),
        (lambda f: {"validation_context": {"verify_certificate_spki": ["A" * 43 + "="]}}, "hashes alone"),
        (
            lambda f: {"validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED"}},
            "ACCEPT_UNTRUSTED is not supported yet",
        ),
        (lambda f: {"tls_params": {"tls_minimum_protocol_version": "TLSv1_0"}}, "not safe"),
        (
            lambda f: {"tls_params": {"tls_minimum_protocol_version": "TLSv1_3",
                                      "tls_maximum_protocol_version": "TLSv1_2"}},
            "the lowest version is TLSv1_3",
        ),
        (lambda f: {"tls_params": {"cipher_suites": ["AES128-SHA", "NONSENSE"]}}, "'NONSENSE' is no cipher suite"),
        (lambda f: {"tls_params": {"ecdh_curves": ["P-256"]}}, "'ecdh_curves' is not supported yet"),
        (lambda f: {"alpn_protocols": ["x" * 256]}, "is no name of a protocol"),
        (
            lambda f: {"tls_certificates": [], "tls_certificate_sds_secret_configs": [{"name": "a"}]},
            "'tls_certificate_sds_secret_configs' is not supported yet",
        ),
        (
            lambda f: {"validation_context_sds_secret_config": {"name": "a"}},
            "'validation_context_sds_secret_config' is not supported yet",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_at_its_place(folder: Path, common: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=r"^--config-yaml:\d+:\d+: ") as caught:
        downstream(folder, common(folder))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value), "one mistake is told once"


def test_a_client_certificate_that_nobody_can_verify_is_not_required(folder: Path) -> None:
    with pytest.raises(ConfigError, match="a client certificate is required, and nothing says whose"):
        downstream(folder, require_client_certificate=True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sni": "a..b"}, "is no name of a server"),
        ({"sni": "x" * 300}, "is no name of a server"),
        ({"allow_renegotiation": True}, "'allow_renegotiation' is not supported yet"),
        ({"auto_sni_san_validation": True}, "no name is asked for"),
    ],
)
def test_what_an_upstream_cannot_have_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        upstream({"validation_context": {"system_root_certs": {}}}, **fields)
