"""Write a policy as TOML text; `parse(compose(policy)) == policy` for every policy.

Only what was decided is written: a setting left open stays open, so the text remains
as short as the administrator's thought.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields

from gatepost.policy.pattern import EVERYBODY
from gatepost.policy.rules import (
    InboundPolicy,
    InboundRule,
    Policy,
    Reception,
    Rule,
    Settings,
    Tags,
    Triggers,
)


def compose(policy: Policy) -> str:
    """The policy as TOML text."""
    tables = [
        _table("[defaults]", list(_settings(policy.defaults))),
        _table("[triggers]", list(_triggers(policy.triggers))),
        _table("[inbound]", list(_inbound(policy.inbound))),
        _table("[inbound.tags]", list(_tags(policy.inbound.tags))),
        *(_table("[[inbound.rule]]", list(_inbound_rule(one))) for one in policy.inbound.rules),
        *(_table("[[rule]]", list(_rule(rule))) for rule in policy.rules),
    ]
    return "\n".join(table for table in tables if table)


def _table(heading: str, lines: list[str]) -> str:
    return "\n".join((heading, *lines, "")) if lines else ""


def _settings(settings: Settings | Reception) -> Iterator[str]:
    for one in fields(settings):
        value = getattr(settings, one.name)
        if value is not None:
            yield f"{one.name} = {_text(value)}"


def _triggers(triggers: Triggers) -> Iterator[str]:
    if triggers.subject != Triggers().subject:
        yield f"subject = {_texts(triggers.subject)}"
    if triggers.headers:
        yield f"headers = {_texts(tuple(str(one) for one in triggers.headers))}"


def _inbound(inbound: InboundPolicy) -> Iterator[str]:
    plain = InboundPolicy()
    yield from _settings(inbound.reception)
    for name in ("keep_signature", "tag_subject", "keep_evidence"):
        value = getattr(inbound, name)
        if value != getattr(plain, name):
            yield f"{name} = {_flag(value)}"


def _inbound_rule(rule: InboundRule) -> Iterator[str]:
    yield f"name = {_text(rule.name)}"
    if rule.from_ != EVERYBODY:
        yield f"from = {_text(str(rule.from_))}"
    yield from _settings(rule.reception)


def _tags(tags: Tags) -> Iterator[str]:
    for one in fields(Tags):
        value = getattr(tags, one.name)
        if value != one.default:
            yield f"{one.name} = {_text(value)}"


def _rule(rule: Rule) -> Iterator[str]:
    yield f"name = {_text(rule.name)}"
    if rule.to != EVERYBODY:
        yield f"to = {_text(str(rule.to))}"
    if rule.from_ != EVERYBODY:
        yield f"from = {_text(str(rule.from_))}"
    yield from _settings(rule.settings)


def _texts(values: tuple[str, ...]) -> str:
    return f"[{', '.join(_text(value) for value in values)}]"


def _text(value: str) -> str:
    # A JSON string of printable characters is a TOML basic string, letter for letter.
    return json.dumps(str(value), ensure_ascii=False)


def _flag(value: bool) -> str:  # noqa: FBT001  # a value, not a switch
    return "true" if value else "false"
