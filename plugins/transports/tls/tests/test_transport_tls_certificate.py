"""Certificates as another implementation writes them, and what is none."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from plait_transport_tls.certificate import read, read_pem

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name(
    [
        x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "DE"),
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Shop, Inc."),
        x509.NameAttribute(x509.NameOID.COMMON_NAME, "Käse"),
        x509.NameAttribute(x509.NameOID.PSEUDONYM, "#x "),
    ]
)
ALT = (
    x509.DNSName("shop.example"),
    x509.DNSName("*.shop.example"),
    x509.UniformResourceIdentifier("spiffe://mesh/shop"),
    x509.RFC822Name("buyer@shop.example"),
    x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
    x509.IPAddress(ipaddress.ip_address("2001:db8::7")),
    x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
)


def make(
    *alt: x509.GeneralName, subject: x509.Name = NAME, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = KEY
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA")]))
        .public_key(key.public_key())
        .serial_number(0xF3828EB24FD779D0)
        .not_valid_before(datetime.datetime(2024, 1, 1))
        .not_valid_after(datetime.datetime(2054, 1, 1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if alt:
        builder = builder.add_extension(x509.SubjectAlternativeName(alt), critical=True)
    return builder.sign(KEY, hashes.SHA256())


def der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


WHOLE = make(*ALT)
DER = der_of(WHOLE)


def test_names_are_read_by_their_kind() -> None:
    certificate = read(DER).certificate
    assert certificate.dns_names == ("shop.example", "*.shop.example")
    assert certificate.uris == ("spiffe://mesh/shop",)
    assert certificate.email_addresses == ("buyer@shop.example",)
    assert certificate.ip_addresses == ("192.0.2.7", "2001:db8::7")
    assert certificate.issuer == "CN=CA"
    assert certificate.serial == "f3828eb24fd779d0"
    assert certificate.fingerprint == hashlib.sha256(DER).hexdigest()
    assert certificate.der == DER


def test_a_subject_is_written_as_rfc_2253_says() -> None:
    assert read(DER).certificate.subject == "2.5.4.65=\\#x\\ ,CN=Käse,O=Shop\\, Inc.,C=DE"


def test_a_certificate_may_have_no_names_at_all() -> None:
    certificate = read(der_of(make(subject=x509.Name([])))).certificate
    assert (certificate.subject, certificate.dns_names, certificate.uris) == ("", (), ())


@pytest.mark.parametrize("key", [KEY, rsa.generate_private_key(65537, 2048)])
def test_the_public_key_is_hashed_as_it_stands(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    info = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert read(der_of(make(key=key))).spki_hash == hashlib.sha256(info).digest()


def test_a_name_with_a_zero_byte_is_no_other_name() -> None:
    broken = DER.replace(b"shop.example\x82", b"shop\0example\x82")
    assert read(broken).certificate.dns_names[0] == "shop\0example"
    wide = DER.replace(b"shop.example\x82", b"shop\xe9example\x82")
    assert read(wide).certificate.dns_names[0] == "shop\\xe9example"


def test_the_first_certificate_of_a_pem_text_is_read() -> None:
    pem = WHOLE.public_bytes(serialization.Encoding.PEM)
    assert read_pem(b"leaf:\n" + pem + b"then\n" + pem).certificate == read(DER).certificate
    for text in (b"", b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"):
        with pytest.raises(ValueError, match=r"certificate|padding|base64"):
            read_pem(text)


@pytest.mark.parametrize("length", [*range(60), len(DER) // 2, len(DER) - 1])
def test_a_certificate_that_is_cut_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="certificate"):
        read(DER[:length])


@given(st.binary(max_size=200))
def test_anything_is_read_or_refused(data: bytes) -> None:
    for der in (data, b"\x30\x84" + len(data).to_bytes(4, "big") + data):
        try:
            read(der)
        except ValueError:
            pass


@given(st.integers(0, len(DER) - 1), st.binary(min_size=1, max_size=4))
def test_a_certificate_with_wrong_bytes_is_read_or_refused(at: int, wrong: bytes) -> None:
    try:
        read(DER[:at] + wrong + DER[at + len(wrong) :])
    except ValueError:
        pass
