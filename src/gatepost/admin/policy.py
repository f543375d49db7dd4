"""The policy: show, export, apply, look back, roll back.  Every change is a revision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import unified_diff
from pathlib import Path
from typing import Any

from gatepost.admin.access import administrator, opened
from gatepost.engine.service import Stores
from gatepost.policy.compose import compose
from gatepost.policy.parse import parse
from gatepost.policy.profile import setting
from gatepost.policy.rules import NAMES, Policy, Profile, Settings
from gatepost.store.record import Revision


@dataclass(frozen=True, slots=True)
class Expansion:
    """A profile where it is used, and the settings it brings there."""

    where: str
    profile: Profile
    settings: dict[str, str]


def _brought(settings: Settings) -> dict[str, str]:
    """What a profile adds to the settings beside it."""
    found = {name: setting(settings, name) for name in NAMES}
    return {name: str(value) for name, (value, profile) in found.items() if profile is not None}


@dataclass(frozen=True, slots=True)
class InForce:
    """The policy in force, or a former one."""

    revision: Revision | None  # None: nobody has written one, the built-in values count
    policy: Policy

    @property
    def toml(self) -> str:
        """Its text as it was written, or the built-in values' (nothing)."""
        return self.revision.toml if self.revision else compose(self.policy)

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            **(summary(self.revision) if self.revision else {"rev": 0}),
            "toml": self.toml,
            "profiles": [
                {"where": one.where, "profile": one.profile, "settings": one.settings}
                for one in self.profiles
            ],
        }

    @property
    def profiles(self) -> tuple[Expansion, ...]:
        """What the profiles in it stand for, where they are used."""
        places = [("defaults", self.policy.defaults)]
        places += [(f'rule "{one.name}"', one.settings) for one in self.policy.rules]
        return tuple(
            Expansion(where, settings.profile, _brought(settings))
            for where, settings in places
            if settings.profile is not None
        )


@dataclass(frozen=True, slots=True)
class History:
    """Revisions, newest first."""

    revisions: tuple[Revision, ...]

    def as_data(self) -> list[dict[str, Any]]:
        """Values JSON can carry."""
        return [summary(one) for one in self.revisions]


@dataclass(frozen=True, slots=True)
class Change:
    """What an `apply` or `rollback` changes; `revision` is None where nothing does, or not yet."""

    before: str
    after: str
    revision: Revision | None

    @property
    def diff(self) -> tuple[str, ...]:
        """Unified difference, line by line."""
        old, new = self.before.splitlines(), self.after.splitlines()
        return tuple(unified_diff(old, new, "in force", "new", lineterm=""))

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "changed": self.before != self.after,
            "revision": summary(self.revision) if self.revision else None,
            "diff": list(self.diff),
        }


def summary(revision: Revision) -> dict[str, Any]:
    """A revision's line as values JSON can carry."""
    return {
        "rev": revision.rev,
        "at": revision.at.isoformat(),
        "author": revision.author,
        "note": revision.note,
    }


def show(config: Path | None, rev: int | None = None) -> InForce:
    """The policy in force, or one revision."""
    with opened(config) as (_, stores):
        found = stores.directory.policy.get(rev) if rev else stores.directory.policy.current()
    policy = parse(found.toml, f"policy revision {found.rev}") if found else Policy()
    return InForce(found, policy)


def history(config: Path | None, limit: int = 50) -> History:
    """Revisions, newest first."""
    with opened(config) as (_, stores):
        return History(stores.directory.policy.history(limit=limit))


def apply(
    config: Path | None, text: str, source: str, note: str, now: datetime, *, dry: bool = False
) -> Change:
    """Put a policy in force; raises ConfigError, naming line and key, for a wrong one."""
    parse(text, source)
    with opened(config) as (_, stores):
        return _changed(stores, text, note or f"from {source}", now, dry=dry)


def rollback(config: Path | None, rev: int, now: datetime, *, dry: bool = False) -> Change:
    """Put an old revision in force again, as a new one."""
    with opened(config) as (_, stores):
        old = stores.directory.policy.get(rev)
        parse(old.toml, f"policy revision {rev}")
        return _changed(stores, old.toml, f"back to revision {rev}", now, dry=dry)


def _changed(stores: Stores, text: str, note: str, now: datetime, *, dry: bool) -> Change:
    current = stores.directory.policy.current()
    before = current.toml if current else ""
    if dry or before == text:
        return Change(before, text, None)
    made = stores.directory.policy.apply(
        text, author=administrator(), note=note, now=now, onto=current.rev if current else 0
    )
    return Change(before, text, made)


def lines(policy: Policy) -> Sequence[str]:
    """The policy as it is understood, comments and all gone."""
    return compose(policy).splitlines()
