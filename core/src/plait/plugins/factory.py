"""Makes the object that a registered type stands for, and says whose fault it is when that fails."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from plait.api.errors import PlaitError, PluginError

_MANY = 1 << 16


def build(
    registered: Any, settings: object, context: Any, *extra: object, name: str = "", distribution: str = ""
) -> Any:
    """Call the factory of ``registered`` (``FilterType`` …) with as many of settings, context and extra as it takes.

    ``settings`` None stands for the defaults of its settings class. ``name`` and ``distribution`` say whose it is, for
    the message. Raises PluginError when the factory raises or the settings are of another class; errors of Plait's own
    that the factory raises (ConfigError …) pass.
    """
    name = name or registered.name
    expected = registered.settings
    try:
        if expected is not None and settings is None:
            settings = expected()
        if expected is not None and not isinstance(settings, expected):
            cause = f"its settings are an object of type {type(settings).__name__}, expected {expected.__name__}"
            raise PluginError(name, cause, distribution=distribution, remedy="report this to its authors")
        wanted = _wanted(registered.factory)
        available = (settings, context, *extra)
        if wanted > len(available) and wanted != _MANY:
            cause = f"its factory takes {wanted} arguments, expected at most {len(available)}"
            raise PluginError(name, cause, distribution=distribution, remedy="report this to its authors")
        return registered.factory(*available[:wanted])
    except PlaitError:
        raise
    except Exception as error:
        cause = f"its factory raised {describe(error)}"
        remedy = "check its settings, or report this to its authors"
        raise PluginError(name, cause, distribution=distribution, remedy=remedy) from error


def describe(error: BaseException) -> str:
    """An exception in one line: type, message, and the place it came from."""
    text = " ".join(str(error).split())
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None and not isinstance(error, ImportError | SyntaxError):
        place = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
    return f"{type(error).__name__}{': ' + text if text else ''}{place}"


def arguments_wanted(factory: Callable[..., Any]) -> int | str:
    """How many of settings, context and extra a factory takes, or what is wrong with its signature.

    Counted are positional parameters up to the first that has a default, unless that one is called ``settings`` or
    ``context``: a default says that the factory does without. Raises TypeError or ValueError where no signature is.
    """
    wanted = 0
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return _MANY
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            return f"requires the keyword argument {parameter.name!r}"
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD):
            continue
        if parameter.default is not parameter.empty and parameter.name not in ("settings", "context"):
            break
        wanted += 1
    return wanted


def _wanted(factory: Callable[..., Any]) -> int:
    try:
        hash(factory)
    except TypeError:
        return _signature_of(factory)
    return _cached(factory)


def _signature_of(factory: Callable[..., Any]) -> int:
    try:
        wanted = arguments_wanted(factory)
    except ValueError:
        return 1  # a callable in C that tells no signature
    return 1 if isinstance(wanted, str) else wanted


_cached = functools.lru_cache(maxsize=512)(_signature_of)
