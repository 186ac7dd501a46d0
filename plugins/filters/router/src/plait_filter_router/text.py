"""Text of the configuration as the bytes of messages, and back; any bytes survive the way there and back."""

from __future__ import annotations


def encode(text: str) -> bytes:
    """The bytes of ``text``."""
    return text.encode("utf-8", "surrogateescape")


def decode(value: bytes) -> str:
    """The text of ``value``."""
    return value.decode("utf-8", "surrogateescape")
