"""What a plugin answered, checked field by field before anything is made of it.

Knows the shape of each type of ``plait.api.extension``, not what the types are for.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pluggy

from plait.api.errors import PluginError
from plait.api.extension import DownstreamTransportSocketType, UpstreamTransportSocketType
from plait.api.protocol import PoolMode
from plait.plugins import hookspecs
from plait.plugins.factory import arguments_wanted, describe
from plait.plugins.kinds import KINDS, Kind

Check = Callable[[Any], str]
"""Takes a value, gives what was expected instead; empty when the value is right."""

_SIDES = {DownstreamTransportSocketType, UpstreamTransportSocketType}


def answers(kind: str, plugin: object, *, name: str = "", distribution: str = "") -> tuple[Any, ...]:
    """Ask ``plugin`` (a module, or any object with marked functions) its hook of ``kind``, and check what it says.

    Raises PluginError that says what is wrong with the plugin; nothing is kept of it then.
    """
    name = name or str(getattr(plugin, "__name__", type(plugin).__name__))
    fail = _Failure(name, distribution)
    asked = KINDS[kind]
    manager = pluggy.PluginManager("plait")
    manager.add_hookspecs(hookspecs)
    _check_marks(asked, plugin, manager, fail)
    try:
        manager.register(plugin, name)
    except pluggy.PluginValidationError as error:
        cause = f"its hook has a signature that does not fit: {'; '.join(str(error).splitlines())}"
        raise fail(cause, f"declare {asked.hook}() without arguments") from error
    caller = getattr(manager.hook, asked.hook)
    if not caller.get_hookimpls():
        raise fail(f"it implements no {asked.hook}", f"mark a function {asked.hook}() with plait.hookimpl")
    try:
        given = caller()
    except Exception as error:
        raise fail(f"{asked.hook} raised {describe(error)}", "report this to its authors") from error
    answer = given[0] if given else None
    if inspect.iscoroutine(answer):
        answer.close()
        raise fail(f"{asked.hook} is a coroutine function", "make it a plain function that returns a list")
    if not isinstance(answer, list | tuple):
        raise fail(f"{asked.hook} returned {_a(answer)}, expected a list of {_names(asked)}")
    _check_answer(asked, answer, fail)
    return tuple(answer)


class _Failure:
    """Makes the errors of one plugin."""

    def __init__(self, name: str, distribution: str) -> None:
        self._name = name
        self._distribution = distribution

    def __call__(self, cause: str, remedy: str = "report this to its authors") -> PluginError:
        return PluginError(self._name, cause, distribution=self._distribution, remedy=remedy)


def _check_marks(kind: Kind, plugin: object, manager: pluggy.PluginManager, fail: _Failure) -> None:
    hooks = [known.hook for known in KINDS.values()]
    for name in dir(plugin):
        mark = manager.parse_hookimpl_opts(plugin, name)
        if mark is None:
            if name == kind.hook and callable(getattr(plugin, name, None)):
                raise fail(f"its function {name} is not marked", "put @plait.hookimpl above it")
            continue
        hook = mark.get("specname") or name
        if hook not in hooks:
            close = difflib.get_close_matches(hook, hooks, 1)
            advice = f"did you mean {close[0]!r}?" if close else f"the hooks are {', '.join(hooks)}"
            raise fail(f"it implements the unknown hook {hook!r}", advice)
        if mark.get("wrapper") or mark.get("hookwrapper"):
            raise fail(f"its {hook} is a hook wrapper, and plugins are asked one by one", "return a list instead")


def _check_answer(kind: Kind, answer: list[Any] | tuple[Any, ...], fail: _Failure) -> None:
    seen: dict[str, type] = {}
    for index, item in enumerate(answer):
        if type(item) not in kind.categories:
            raise fail(f"{kind.hook} returned {_a(item)} at [{index}], expected {_names(kind)}")
        category = type(item).__name__
        for field in attrs.fields(type(item)):
            expected = _CHECKS[field.name](getattr(item, field.name)) if field.name in _CHECKS else ""
            if expected:
                label = f"{category} {item.name!r}" if field.name != "name" else f"{category} at [{index}]"
                shown = _shown(getattr(item, field.name))
                raise fail(f"{kind.hook}: {field.name} of {label} is {shown}, expected {expected}")
        if hasattr(item, "factory"):
            _check_factory(item, kind, fail)
        if item.name in seen and not _may_share(seen[item.name], type(item)):
            raise fail(f"{kind.hook} returned the name {item.name!r} twice")
        seen[item.name] = type(item)


def _may_share(first: type, second: type) -> bool:
    """Whether two categories may register one name: the sides of a transport, or what is built and a mere page."""
    return first is not second and (not hasattr(second, "factory") or {first, second} == _SIDES)


def _check_factory(item: Any, kind: Kind, fail: _Failure) -> None:
    what = f"{kind.hook}: the factory of {type(item).__name__} {item.name!r}"
    try:
        wanted = arguments_wanted(item.factory)
    except (TypeError, ValueError):
        return  # a callable in C without a signature: what it takes shows when it is called
    if isinstance(wanted, str):
        raise fail(f"{what} {wanted}, expected positional ones: settings, then the context if it wants it")
    if not wanted and item.settings is not None:
        raise fail(f"{what} takes no argument, expected one for its settings, {item.settings.__name__}")


def _is_callable(value: object) -> str:
    return "" if callable(value) else "a callable"


def _is_text(value: object) -> str:
    return "" if isinstance(value, str) else "text"


def _is_name(value: object) -> str:
    return "" if isinstance(value, str) and value.strip() == value != "" else "a name"


def _is_flag(value: object) -> str:
    return "" if isinstance(value, bool) else "True or False"


def _is_settings(value: object) -> str:
    return "" if value is None or (isinstance(value, type) and attrs.has(value)) else "an attrs class or None"


def _is_target(value: object) -> str:
    if value == "" or (isinstance(value, str) and re.fullmatch(r"[\w.]+:\w+", value)):
        return ""
    return '"module:function"'


def _is_words(value: object) -> str:
    right = isinstance(value, tuple | frozenset) and all(isinstance(word, str) and word for word in value)
    return "" if right else "a tuple or frozenset of names"


def _is_pool_mode(value: object) -> str:
    return "" if isinstance(value, PoolMode) else "a PoolMode"


_CHECKS: Mapping[str, Check] = {
    "name": _is_name,
    "settings": _is_settings,
    "factory": _is_callable,
    "proto": _is_text,
    "route_proto": _is_text,
    "translate": _is_target,
    "route_translate": _is_target,
    "terminal": _is_flag,
    "can": _is_words,
    "templates": _is_words,
    "content_type": _is_text,
    "render": _is_callable,
    "summary": _is_text,
    "configure": _is_callable,
    "run": _is_callable,
    "server_codec": _is_callable,
    "client_codec": _is_callable,
    "local_response": _is_callable,
    "sniff": _is_callable,
    "alpn": _is_text,
    "pool_mode": _is_pool_mode,
    "options": _is_settings,
}


def _names(kind: Kind) -> str:
    return " or ".join(category.__name__ for category in kind.categories)


def _a(value: object) -> str:
    return "None" if value is None else f"an object of type {type(value).__name__}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
