"""Read a policy from TOML text, refusing whatever it does not understand.

Every error is one sentence naming source, line and key, what is allowed, and what was
probably meant; an unknown key is an error, for a misspelt `encript = "mandatory"`
must never mean clear text.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

from gatepost.config.locate import Path, line_of, lines, overlong
from gatepost.errors import ConfigError, Malformed
from gatepost.policy.pattern import EVERYBODY, Pattern
from gatepost.policy.rules import (
    BUILT_IN,
    NAMES,
    RECEPTION,
    HeaderTrigger,
    InboundPolicy,
    InboundRule,
    Policy,
    Profile,
    Reception,
    Rule,
    Settings,
    Tags,
    Triggers,
)

E = TypeVar("E", bound=StrEnum)

MAXIMUM_SIZE = 4 * 1024 * 1024
MAXIMUM_RULES = 20_000
MAXIMUM_INBOUND_RULES = 2_000  # looked through for every message
MAXIMUM_TEXT = 200  # of a name, a tag, a header value

RECEPTIONS: Mapping[str, type[StrEnum]] = {
    one.name: type(getattr(RECEPTION, one.name)) for one in fields(Reception)
}
CHOICES: Mapping[str, type[StrEnum]] = {
    "profile": Profile,
    **{name: type(getattr(BUILT_IN, name)) for name in NAMES},
}


def parse(text: str, source: str = "policy") -> Policy:
    """Read a policy; raises ConfigError.  `source` is named in errors, e.g. a file name."""
    if len(text) > MAXIMUM_SIZE:
        raise ConfigError(f"{source}: a policy may have at most {MAXIMUM_SIZE} characters")
    if line := overlong(text):
        raise ConfigError(f"{source}, line {line}: a key has too many parts")
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{source}: not TOML: {error}") from error
    return _Reader(source, lines(text)).policy(data)


@dataclass(frozen=True, slots=True)
class _Reader:
    source: str
    where: dict[Path, int]

    def policy(self, data: Mapping[str, object]) -> Policy:
        self.known((), data, ("defaults", "triggers", "inbound", "rule"))
        rules = data.get("rule", [])
        if not isinstance(rules, list):
            self.fail(("rule",), "rules are written [[rule]], with two brackets")
        if len(rules) > MAXIMUM_RULES:
            self.fail(("rule",), f"there may be at most {MAXIMUM_RULES} rules")
        read = tuple(self.rule(("rule", at), one) for at, one in enumerate(rules))
        self.unique(("rule",), read)
        return Policy(
            defaults=self.settings(("defaults",), self.table(data, ("defaults",)), also=()),
            rules=read,
            inbound=self.inbound(self.table(data, ("inbound",))),
            triggers=self.triggers(self.table(data, ("triggers",))),
        )

    def rule(self, path: Path, data: object) -> Rule:
        if not isinstance(data, dict):
            self.fail(path, "a rule is a table: [[rule]]")
        settings = self.settings(path, data, also=("name", "to", "from"))
        name = self.text(path, data, "name", "")
        if not name:
            self.fail(path, 'a rule needs a name, e.g. name = "Partners"')
        return Rule(
            name=name,
            to=self.pattern(path, data, "to"),
            from_=self.pattern(path, data, "from"),
            settings=settings,
            line=line_of(self.where, path),
        )

    def settings(self, path: Path, data: Mapping[str, object], also: tuple[str, ...]) -> Settings:
        self.known(path, data, (*also, *CHOICES))
        values: dict[str, Any] = {
            name: self.choice(path, data, name, choices) for name, choices in CHOICES.items()
        }
        return Settings(**values)

    def inbound(self, data: Mapping[str, object]) -> InboundPolicy:
        path: Path = ("inbound",)
        plain = InboundPolicy()
        flags = ("keep_signature", "tag_subject", "keep_evidence")
        self.known(path, data, (*RECEPTIONS, *flags, "tags", "rule"))
        rules = data.get("rule", [])
        if not isinstance(rules, list):
            self.fail((*path, "rule"), "rules are written [[inbound.rule]], with two brackets")
        if len(rules) > MAXIMUM_INBOUND_RULES:
            self.fail((*path, "rule"), f"there may be at most {MAXIMUM_INBOUND_RULES} rules")
        read = tuple(self.inbound_rule((*path, "rule", at), one) for at, one in enumerate(rules))
        self.unique((*path, "rule"), read)
        tags = self.table(data, (*path, "tags"))
        names = [one.name for one in fields(Tags)]
        self.known((*path, "tags"), tags, names)
        return InboundPolicy(
            reception=self.reception(path, data),
            keep_signature=self.flag(path, data, "keep_signature", plain.keep_signature),
            tag_subject=self.flag(path, data, "tag_subject", plain.tag_subject),
            keep_evidence=self.flag(path, data, "keep_evidence", plain.keep_evidence),
            tags=Tags(
                **{
                    name: self.text((*path, "tags"), tags, name, getattr(plain.tags, name))
                    for name in names
                }
            ),
            rules=read,
        )

    def inbound_rule(self, path: Path, data: object) -> InboundRule:
        if not isinstance(data, dict):
            self.fail(path, "a rule is a table: [[inbound.rule]]")
        self.known(path, data, ("name", "from", *RECEPTIONS))
        name = self.text(path, data, "name", "")
        if not name:
            self.fail(path, 'a rule needs a name, e.g. name = "Partners"')
        from_ = self.pattern(path, data, "from")
        return InboundRule(name, from_, self.reception(path, data), line_of(self.where, path))

    def reception(self, path: Path, data: Mapping[str, object]) -> Reception:
        values: dict[str, Any] = {
            name: self.choice(path, data, name, choices) for name, choices in RECEPTIONS.items()
        }
        return Reception(**values)

    def triggers(self, data: Mapping[str, object]) -> Triggers:
        path: Path = ("triggers",)
        plain = Triggers()
        self.known(path, data, ("subject", "headers"))
        return Triggers(
            subject=self.texts(path, data, "subject", plain.subject),
            headers=tuple(
                self.header((*path, "headers"), one)
                for one in self.texts(path, data, "headers", ())
            ),
        )

    def header(self, path: Path, text: str) -> HeaderTrigger:
        name, _, value = text.partition(":")
        if not name.strip() or not all("!" <= one <= "~" for one in name.strip()):
            self.fail(path, f'{text!r} is not a header field; write "Name" or "Name: value"')
        return HeaderTrigger(name.strip(), value.strip())

    def pattern(self, path: Path, data: Mapping[str, object], key: str) -> Pattern:
        text = self.text(path, data, key, str(EVERYBODY))
        try:
            return Pattern.parse(text)
        except Malformed as error:
            self.fail((*path, key), str(error))

    def choice(
        self, path: Path, data: Mapping[str, object], key: str, choices: type[E]
    ) -> E | None:
        value = data.get(key)
        allowed = [str(one) for one in choices]
        if value is not None and value not in allowed:
            self.fail((*path, key), f"{value!r} is not allowed; use {_or(allowed)}", value, allowed)
        return None if value is None else choices(str(value))

    def flag(self, path: Path, data: Mapping[str, object], key: str, otherwise: bool) -> bool:  # noqa: FBT001  # a value, not a switch
        value = data.get(key, otherwise)
        if not isinstance(value, bool):
            self.fail((*path, key), f"{value!r} is not allowed; use true or false")
        return value

    def text(self, path: Path, data: Mapping[str, object], key: str, otherwise: str) -> str:
        value = data.get(key, otherwise)
        if not isinstance(value, str):
            self.fail((*path, key), f"{value!r} is not allowed; write text in quotes")
        return self.fitting((*path, key), value)

    def texts(
        self, path: Path, data: Mapping[str, object], key: str, otherwise: tuple[str, ...]
    ) -> tuple[str, ...]:
        value = data.get(key, list(otherwise))
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            self.fail((*path, key), f"{value!r} is not allowed; write a list of texts")
        return tuple(self.fitting((*path, key), one) for one in value)

    def fitting(self, path: Path, value: str) -> str:
        if len(value) > MAXIMUM_TEXT or not value.isprintable() or value != value.strip():
            self.fail(
                path,
                f"a text has at most {MAXIMUM_TEXT} printable characters on one line "
                "without blanks around them",
            )
        return value

    def table(self, data: Mapping[str, object], path: Path) -> Mapping[str, object]:
        found = data.get(str(path[-1]), {})
        if not isinstance(found, dict):
            self.fail(path, f"this is a table: [{_dotted(path)}]")
        return found

    def known(self, path: Path, data: Mapping[str, object], allowed: Iterable[str]) -> None:
        names = list(allowed)
        for key in data:
            if key not in names:
                self.fail((*path, key), f"unknown key; known are {_or(names)}", key, names)

    def unique(self, path: Path, rules: Sequence[Rule | InboundRule]) -> None:
        seen: dict[str, int] = {}
        for at, rule in enumerate(rules):
            if rule.name in seen:
                other = line_of(self.where, (*path, seen[rule.name]))
                self.fail(
                    (*path, at, "name"), f"{rule.name!r} is the name of the rule in line {other}"
                )
            seen[rule.name] = at

    def fail(
        self, path: Path, message: str, got: object = None, allowed: Iterable[str] = ()
    ) -> NoReturn:
        line = line_of(self.where, path)
        close = get_close_matches(str(got), list(allowed), n=1, cutoff=0.6)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ConfigError(
            f"{self.source}, line {line}, {_dotted(path)}: {message}{hint}",
            source=self.source,
            line=line,
            key=_dotted(path),
        )


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _or(names: list[str]) -> str:
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]
