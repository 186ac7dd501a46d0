"""What an X.509 certificate says: names, serial number, and the hash of its public key. No validation: OpenSSL did it.

DER (X.690), as RFC 5280 section 4.1 uses it::

    0      tag                   0x30 SEQUENCE, 0x02 INTEGER, 0x06 OID, 0x04 OCTET STRING, 0xA0-0xBF [0]-[31] …
    1      length                below 0x80: itself; 0x81-0x84: as many bytes of length follow, big-endian
    …      contents

    Certificate     SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }
    tbsCertificate  SEQUENCE { [0] version?, serial, algorithm, issuer, validity, subject, subjectPublicKeyInfo,
                               [1] issuerUniqueID?, [2] subjectUniqueID?, [3] extensions? }
    Extension       SEQUENCE { OID, BOOLEAN critical?, OCTET STRING }
    SubjectAltName  SEQUENCE of [1] email, [2] DNS name, [6] URI, [7] IP address …

Python's ``getpeercert`` says some of it, of certificates that were verified only, and nothing of public keys.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import ssl
from collections.abc import Iterator

import attrs

from plait import Certificate

_SEQUENCE, _SET, _OID, _OCTETS, _INTEGER = 0x30, 0x31, 0x06, 0x04, 0x02
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_EMAIL, _DNS, _URI, _IP = 0x81, 0x82, 0x86, 0x87
_ALT_NAME = bytes((0x55, 0x1D, 0x11))

_ATTRIBUTES = {
    bytes((0x55, 0x04, 0x03)): "CN",
    bytes((0x55, 0x04, 0x05)): "serialNumber",
    bytes((0x55, 0x04, 0x06)): "C",
    bytes((0x55, 0x04, 0x07)): "L",
    bytes((0x55, 0x04, 0x08)): "ST",
    bytes((0x55, 0x04, 0x09)): "street",
    bytes((0x55, 0x04, 0x0A)): "O",
    bytes((0x55, 0x04, 0x0B)): "OU",
    bytes.fromhex("0992268993f22c640119"): "DC",
    bytes.fromhex("0992268993f22c640101"): "UID",
    bytes.fromhex("2a864886f70d010901"): "emailAddress",
}
_ENCODINGS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}


@attrs.frozen
class Read:
    """A certificate, and the SHA-256 of its public key info."""

    certificate: Certificate
    spki_hash: bytes


@functools.lru_cache(maxsize=512)
def read(der: bytes) -> Read:
    """What a certificate says; raises ValueError for what is none. Peers come again: what was read is kept a while."""
    tag, start, end = _element(der, 0, len(der))
    _expect(tag, _SEQUENCE)
    tag, start, end = _element(der, start, end)
    _expect(tag, _SEQUENCE)
    fields = list(_elements(der, start, end))
    if fields and fields[0][0] == _VERSION:
        del fields[0]
    if len(fields) < 6:
        raise ValueError("the certificate is cut short")
    serial, issuer, subject, key = fields[0], fields[2], fields[4], fields[5]
    _expect(serial[0], _INTEGER)
    names: dict[int, list[bytes]] = {_EMAIL: [], _DNS: [], _URI: [], _IP: []}
    for tag, start, end in fields[6:]:
        if tag == _EXTENSIONS:
            _read_alt_names(der, start, end, names)
    made = Certificate(
        subject=_name(der, *subject),
        issuer=_name(der, *issuer),
        serial=der[serial[1] : serial[2]].lstrip(b"\0").hex() or "00",
        dns_names=_texts(names[_DNS]),
        uris=_texts(names[_URI]),
        ip_addresses=tuple(str(ipaddress.ip_address(one)) for one in names[_IP] if len(one) in (4, 16)),
        email_addresses=_texts(names[_EMAIL]),
        fingerprint=hashlib.sha256(der).hexdigest(),
        der=der,
    )
    return Read(made, hashlib.sha256(_whole(der, key)).digest())


def read_pem(pem: bytes) -> Read:
    """The first certificate of a PEM text; raises ValueError."""
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    start = pem.find(begin)
    stop = pem.find(end, start)
    if start < 0 or stop < 0:
        raise ValueError("there is no certificate in PEM")
    return read(ssl.PEM_cert_to_DER_cert(pem[start : stop + len(end)].decode("latin-1")))


def _element(der: bytes, at: int, limit: int) -> tuple[int, int, int]:
    """Tag of the element at ``at``, and where its contents begin and end."""
    if at + 2 > limit:
        raise ValueError("the certificate is cut short")
    tag, length = der[at], der[at + 1]
    start = at + 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or start + size > limit:
            raise ValueError("a length in the certificate is none of DER")
        length = int.from_bytes(der[start : start + size], "big")
        start += size
    if tag & 0x1F == 0x1F or start + length > limit:
        raise ValueError("the certificate is cut short")
    return tag, start, start + length


def _elements(der: bytes, at: int, limit: int) -> Iterator[tuple[int, int, int]]:
    while at < limit:
        element = _element(der, at, limit)
        yield element
        at = element[2]


def _expect(tag: int, expected: int) -> None:
    if tag != expected:
        raise ValueError(f"tag {tag:#04x} in the certificate, expected {expected:#04x}")


def _read_alt_names(der: bytes, start: int, end: int, names: dict[int, list[bytes]]) -> None:
    tag, start, end = _element(der, start, end)
    _expect(tag, _SEQUENCE)
    for tag, begin, stop in _elements(der, start, end):
        _expect(tag, _SEQUENCE)
        parts = list(_elements(der, begin, stop))
        if len(parts) < 2 or der[parts[0][1] : parts[0][2]] != _ALT_NAME:
            continue
        _expect(parts[-1][0], _OCTETS)
        tag, first, last = _element(der, parts[-1][1], parts[-1][2])
        _expect(tag, _SEQUENCE)
        for kind, at, until in _elements(der, first, last):
            if kind in names:
                names[kind].append(der[at:until])


def _texts(values: list[bytes]) -> tuple[str, ...]:
    """IA5 text; a byte that is none stays visible, so that no name becomes another one."""
    return tuple(value.decode("ascii", "backslashreplace") for value in values)


def _name(der: bytes, tag: int, start: int, end: int) -> str:
    """A distinguished name as RFC 2253 writes it: the last part first."""
    _expect(tag, _SEQUENCE)
    parts: list[str] = []
    for kind, begin, stop in _elements(der, start, end):
        _expect(kind, _SET)
        parts.append("+".join(_attribute(der, *one) for one in _elements(der, begin, stop)))
    return ",".join(reversed(parts))


def _attribute(der: bytes, tag: int, start: int, end: int) -> str:
    _expect(tag, _SEQUENCE)
    parts = list(_elements(der, start, end))
    if len(parts) != 2:
        raise ValueError("an attribute of a name has not two parts")
    (kind, begin, stop), (encoding, value_at, value_end) = parts
    _expect(kind, _OID)
    oid = der[begin:stop]
    label = _ATTRIBUTES.get(oid) or _dotted(oid)
    codec = _ENCODINGS.get(encoding)
    if codec is None:
        return f"{label}=#{_whole(der, parts[1]).hex()}"
    return f"{label}={_escaped(der[value_at:value_end].decode(codec, 'replace'))}"


def _escaped(value: str) -> str:
    text = "".join(f"\\{c}" if c in ',+"\\<>;' else c if c >= " " else f"\\{ord(c):02X}" for c in value)
    if text[:1] in ("#", " "):
        text = "\\" + text
    if text.endswith(" ") and not text.endswith("\\ "):
        text = text[:-1] + "\\ "
    return text


def _dotted(oid: bytes) -> str:
    numbers: list[int] = []
    value = 0
    for byte in oid:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    if not numbers:
        return "?"
    first = min(numbers[0] // 40, 2)
    return ".".join(str(number) for number in (first, numbers[0] - 40 * first, *numbers[1:]))


def _whole(der: bytes, element: tuple[int, int, int]) -> bytes:
    """An element with its tag and length, which DER writes in one way only."""
    tag, start, end = element
    length = end - start
    if length < 0x80:
        return bytes((tag, length)) + der[start:end]
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + der[start:end]
