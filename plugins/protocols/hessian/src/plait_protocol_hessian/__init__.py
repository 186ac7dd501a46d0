"""Hessian 2, in the dialects of Dubbo and of SOFARPC: decoding, encoding, and stepping over values."""

from __future__ import annotations

from plait_protocol_hessian.decoder import Decoder, loads
from plait_protocol_hessian.dialect import Dialect
from plait_protocol_hessian.encoder import Encoder, dumps
from plait_protocol_hessian.errors import HessianError, Truncated
from plait_protocol_hessian.limits import Limits
from plait_protocol_hessian.values import Date, HessianObject, Key, Long, Skipped, TypedList, TypedMap

__all__ = [
    "Date",
    "Decoder",
    "Dialect",
    "Encoder",
    "HessianError",
    "HessianObject",
    "Key",
    "Limits",
    "Long",
    "Skipped",
    "Truncated",
    "TypedList",
    "TypedMap",
    "dumps",
    "loads",
]
