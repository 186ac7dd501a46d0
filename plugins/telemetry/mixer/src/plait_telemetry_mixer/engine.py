"""Rules made ready, and the check itself: which rules match, what their handlers say, what to do to headers.

``Rules`` finds everything that can be wrong with the settings, and is made twice: in the supervisor, where errors get
their place in the file, and in a worker. This module knows attributes and adapters, no stream: how to tell a refusal
is up to the filters.
"""

from __future__ import annotations

import difflib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from plait import Adapter, ConfigError, Context
from plait_telemetry_mixer.attributes import VOCABULARY, AttributeBag, as_dict
from plait_telemetry_mixer.cache import CheckCache, Outcome
from plait_telemetry_mixer.codes import INTERNAL, OK
from plait_telemetry_mixer.expr import AbsentError, Bag, EvaluationError, Expression, compile_expression
from plait_telemetry_mixer.settings import HeaderOperation, MixerSettings, RuleSettings
from plait_telemetry_mixer.templates import TEMPLATES, Shape
from plait_telemetry_mixer.values import ValueType, parse

LONGEST_VALID_S = 60.0
MOST_USES = 10_000
"""How long and how often an answer may be used that no adapter limits (Mixer's defaults)."""

Build: TypeAlias = Callable[[Bag], Any]
Path: TypeAlias = tuple[str | int, ...]

_log = logging.getLogger("plait.mixer")


class _Instance:
    """A template and what fills its fields."""

    __slots__ = ("build", "name", "template")

    def __init__(self, name: str, template: str, build: Build) -> None:
        self.name = name
        self.template = template
        self.build = build


class _Operation:
    """A header operation with its values compiled."""

    __slots__ = ("name", "operation", "values")

    def __init__(self, operation: HeaderOperation, values: list[Expression]) -> None:
        self.operation = operation.operation
        self.name = operation.name
        self.values = values

    def made(self, bag: Bag) -> tuple[str, str, list[str]]:
        return self.operation, self.name, [value.evaluate(bag) for value in self.values]


class _Rule:
    __slots__ = ("actions", "match", "name", "request_headers", "response_headers")

    def __init__(self, name: str, match: Expression | None) -> None:
        self.name = name
        self.match = match
        self.actions: list[tuple[str, _Instance]] = []
        self.request_headers: list[_Operation] = []
        self.response_headers: list[_Operation] = []


class Rules:
    """The settings, compiled. Raises ``ConfigError`` whose ``path`` leads to the field of the settings."""

    def __init__(self, settings: MixerSettings) -> None:
        self.types = {**VOCABULARY, **_manifest(settings.attribute_manifest)}
        self.own = {
            name: self._own_value(name, text, ("mixer_attributes", name))
            for name, text in settings.mixer_attributes.items()
        }
        if settings.check_cache_entries < 0:
            what = f"check_cache_entries is {settings.check_cache_entries}"
            raise ConfigError(what, expected="0 or more", path=("check_cache_entries",))
        self.handlers = {extension.name: extension for extension in settings.handlers}
        if len(self.handlers) < len(settings.handlers):
            raise ConfigError("two handlers have one name", expected="each name once", path=("handlers",))
        self._instances: dict[str, _Instance] = {}
        for index, instance in enumerate(settings.instances):
            where: Path = ("instances", index)
            if instance.name in self._instances:
                raise ConfigError(f"instance {instance.name!r} is given again", expected="each name once", path=where)
            if instance.attribute_bindings:
                what = f"template {instance.template} makes no attributes"
                raise ConfigError(what, hint="leave attribute_bindings out", path=(*where, "attribute_bindings"))
            build = self._template(instance.template, instance.params, where)
            self._instances[instance.name] = _Instance(instance.name, instance.template, build)
        self.rules = [self._rule(rule, ("rules", index)) for index, rule in enumerate(settings.rules)]

    @property
    def changes_responses(self) -> bool:
        """Whether any rule changes headers of responses."""
        return any(rule.response_headers for rule in self.rules)

    def _compile(self, text: str, where: Path, *wanted: ValueType) -> Expression:
        try:
            return compile_expression(text, self.types, *wanted)
        except ConfigError as error:
            raise ConfigError(error.what, expected=error.expected, hint=error.hint, path=where) from None

    def _own_value(self, name: str, text: str, where: Path) -> object:
        if name not in self.types:
            raise _unknown("attribute", name, self.types, where)
        try:
            return parse(text, self.types[name])
        except ValueError as error:
            raise ConfigError(str(error), expected=self.types[name].value, path=where) from None

    def _rule(self, settings: RuleSettings, where: Path) -> _Rule:
        match = self._compile(settings.match, (*where, "match"), ValueType.BOOL) if settings.match.strip() else None
        rule = _Rule(settings.name, match)
        for index, action in enumerate(settings.actions):
            at: Path = (*where, "actions", index)
            if action.handler not in self.handlers:
                raise _unknown("handler", action.handler, self.handlers, (*at, "handler"))
            if not action.instances:
                raise ConfigError("the action has no instances", expected="at least one", path=at)
            for number, name in enumerate(action.instances):
                if name not in self._instances:
                    raise _unknown("instance", name, self._instances, (*at, "instances", number))
                rule.actions.append((action.handler, self._instances[name]))
        rule.request_headers = self._operations(
            settings.request_header_operations, (*where, "request_header_operations")
        )
        rule.response_headers = self._operations(
            settings.response_header_operations, (*where, "response_header_operations")
        )
        return rule

    def _operations(self, operations: tuple[HeaderOperation, ...], where: Path) -> list[_Operation]:
        made = []
        for index, operation in enumerate(operations):
            at: Path = (*where, index)
            if not operation.name or operation.name.startswith(":"):
                what = f"header {operation.name!r} cannot be changed"
                raise ConfigError(what, expected="the name of a header", path=(*at, "name"))
            if bool(operation.values) == (operation.operation == "REMOVE"):
                what = f"{operation.operation} with {len(operation.values)} values"
                raise ConfigError(what, expected="values, or REMOVE without any", path=at)
            values = [
                self._compile(value, (*at, "values", number), ValueType.STRING)
                for number, value in enumerate(operation.values)
            ]
            made.append(_Operation(operation, values))
        return made

    def _template(self, name: str, params: Mapping[str, object], where: Path) -> Build:
        template = TEMPLATES.get(name)
        if template is None:
            raise _unknown("template", name, TEMPLATES, (*where, "template"))
        if template.variety != "check":
            what = f"template {name} is for a {template.variety}"
            raise ConfigError(what, expected="one for a check", path=(*where, "template"))
        for field in template.required:
            if field not in params:
                what = f"template {name} needs the field {field!r}"
                raise ConfigError(what, expected="an expression", path=(*where, "params"))
        return self._message(template.fields, params, (*where, "params"))

    def _message(self, fields: Mapping[str, Shape], params: Mapping[str, object], where: Path) -> Build:
        builds: list[tuple[str, Build]] = []
        for name, param in params.items():
            if name not in fields:
                raise _unknown("field", name, fields, (*where, name))
            builds.append((name, self._field(fields[name], param, (*where, name))))
        return lambda bag: {name: build(bag) for name, build in builds}

    def _field(self, shape: Shape, param: object, where: Path) -> Build:
        if shape is None or isinstance(shape, Mapping):
            if not isinstance(param, Mapping):
                raise ConfigError(f"{where[-1]!r} is of the wrong kind", expected="a mapping", path=where)
            if shape is not None:
                return self._message(shape, param, where)
            builds = [(str(name), self._value(text, (*where, str(name)))) for name, text in param.items()]
            return lambda bag: {name: build(bag) for name, build in builds}
        return self._value(param, where, shape)

    def _value(self, param: object, where: Path, *wanted: ValueType) -> Build:
        if not isinstance(param, str):
            raise ConfigError(f"{where[-1]!r} is of the wrong kind", expected="an expression, as text", path=where)
        expression = self._compile(param, where, *wanted)
        if expression.type is ValueType.STRING_MAP:
            return lambda bag: as_dict(expression.evaluate(bag))
        return expression.evaluate


class Checker:
    """Checks what bags say, for one filter."""

    def __init__(self, settings: MixerSettings, context: Context, clock: Callable[[], float] = time.monotonic) -> None:
        self._rules = Rules(settings)
        self._adapters: dict[str, Adapter] = {
            name: context.build("policies", extension) for name, extension in self._rules.handlers.items()
        }
        self._cache = CheckCache(settings.check_cache_entries)
        self._fail_open = settings.policy_check_fail_open
        self._clock = clock
        self.types = self._rules.types
        own = dict(self._rules.own)
        if context.node.id:
            own.setdefault("context.reporter.uid", context.node.id)
        self.own: Mapping[str, object] = own
        stats = context.stats
        self._ok = stats.counter("mixer.check.ok")
        self._denied = stats.counter("mixer.check.denied")
        self._cache_hit = stats.counter("mixer.check.cache_hit")
        self._error = stats.counter("mixer.check.error")

    @property
    def changes_responses(self) -> bool:
        """Whether any rule changes headers of responses."""
        return self._rules.changes_responses

    def check(self, bag: AttributeBag) -> tuple[Outcome, bool]:
        """The answer, and whether it came from the cache."""
        now = self._clock()
        outcome = self._cache.find(bag, now)
        hit = outcome is not None
        if outcome is None:
            outcome = self._ask(bag, now)
            self._cache.store(bag, outcome, now)
        else:
            self._cache_hit.value += 1
        if outcome.status == OK:
            self._ok.value += 1
        else:
            self._denied.value += 1
        return outcome, hit

    def close(self) -> None:
        """Give the handlers back."""
        for adapter in self._adapters.values():
            adapter.close()

    def _ask(self, bag: AttributeBag, now: float) -> Outcome:
        valid_s, uses = LONGEST_VALID_S, MOST_USES
        outcome = Outcome()
        who = ""
        try:
            for rule in self._rules.rules:
                who = f"rule {rule.name!r}"
                if not _matches(rule, bag):
                    continue
                for handler, instance in rule.actions:
                    who = f"{handler}.{instance.name}"
                    result = self._adapters[handler].check(instance.template, instance.build(bag))
                    valid_s = min(valid_s, result.valid_duration_s)
                    uses = min(uses, result.valid_use_count)
                    if result.status != OK:
                        outcome = Outcome(result.status, f"{who}:{result.message}")
                        outcome.expires, outcome.uses_left = now + valid_s, uses - 1
                        return outcome
                who = f"header operations of rule {rule.name!r}"
                outcome.request_headers += [operation.made(bag) for operation in rule.request_headers]
                outcome.response_headers += [operation.made(bag) for operation in rule.response_headers]
        except (AbsentError, EvaluationError) as error:
            self._error.value += 1
            _log.debug("%s could not be checked: %s", who, error)
            return Outcome() if self._fail_open else Outcome(INTERNAL, f"{who}:the check failed")
        outcome.expires, outcome.uses_left = now + valid_s, uses - 1
        return outcome


def _matches(rule: _Rule, bag: AttributeBag) -> bool:
    """A rule about something that is not there does not match."""
    if rule.match is None:
        return True
    try:
        return bool(rule.match.evaluate(bag))
    except AbsentError:
        return False


def _manifest(declared: Mapping[str, str]) -> dict[str, ValueType]:
    types = {}
    for name, type_ in declared.items():
        where: Path = ("attribute_manifest", name)
        if not all(part.isidentifier() and part.isascii() for part in name.split(".")):
            raise ConfigError(f"{name!r} is no name of an attribute", expected="words joined with dots", path=where)
        if VOCABULARY.get(name, type_) != type_ and VOCABULARY[name].value != type_:
            what = f"attribute {name} is of type {VOCABULARY[name].value}"
            raise ConfigError(what, hint="leave it out of attribute_manifest", path=where)
        try:
            types[name] = ValueType(type_)
        except ValueError:
            names = ", ".join(one.value for one in ValueType)
            raise ConfigError(f"{type_!r} is no type of values", expected=f"one of {names}", path=where) from None
    return types


def _unknown(kind: str, name: str, known: Mapping[str, Any], where: Path) -> ConfigError:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}" if near else f"known are {', '.join(known) or 'none'}"
    if not near and len(known) > 20:
        hint = ""
    return ConfigError(f"{kind} {name!r} is unknown", hint=hint, path=where)
