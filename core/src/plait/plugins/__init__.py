"""Discovery, loading, hook specifications and the catalogue of plugins.

Light: no protobuf, no YAML, no cattrs until settings are structured. Nothing in here is called for traffic.
"""

from plait.plugins.answers import answers
from plait.plugins.catalogue import Catalogue, DuplicateError, MissingPluginError
from plait.plugins.check import Checked, check
from plait.plugins.discovery import SECURITY_POSTURES, PluginInfo, discover
from plait.plugins.factory import build
from plait.plugins.kinds import EXTENSIONS_GROUP, KINDS, Kind, kinds_of
from plait.plugins.known import KNOWN
from plait.plugins.settings import structure

__all__ = [
    "EXTENSIONS_GROUP",
    "KINDS",
    "KNOWN",
    "SECURITY_POSTURES",
    "Catalogue",
    "Checked",
    "DuplicateError",
    "Kind",
    "MissingPluginError",
    "PluginInfo",
    "answers",
    "build",
    "check",
    "discover",
    "kinds_of",
    "structure",
]
