"""The registry of checks: what there is, in which order, and how a report is made of it.

A check is a function from the installation to answers.  It changes nothing; what it needs
and cannot have makes it SKIP, what it did not expect makes it FAIL, never a traceback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

from gatepost.config import Settings, find, load
from gatepost.errors import ConfigError, GatepostError

_MODULES = (
    "configuration",
    "mode",
    "key",
    "directory",
    "standing",
    "transport",
    "queue",
    "machine",
    "network",
    "dns",
    "source",
    "authorization",
    "identity",
    "lookup",
)


class Status(StrEnum):
    """What a check found."""

    PASS = "PASS"  # noqa: S105  a status, no secret
    WARN = "WARN"
    FAIL = "FAIL"
    SKIP = "SKIP"


class Unready(GatepostError):
    """What this check looks at is not there; another check says so."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check says about one thing."""

    status: Status
    detail: str
    fix: str = ""  # what to do about it


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer with the check that gave it."""

    id: str
    title: str
    status: Status
    detail: str
    fix: str

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "id": self.id,
            "title": self.title,
            "status": str(self.status),
            "detail": self.detail,
            "fix": self.fix,
        }


@dataclass(frozen=True, slots=True)
class Installation:
    """What checks look at."""

    path: Path | None  # of the configuration
    settings: Settings | None  # None: it cannot be read
    fault: str  # why not
    now: datetime
    advice: str = ""  # what to do about the fault

    @property
    def right(self) -> Settings:
        """The settings, for checks that run only when there are any."""
        assert self.settings is not None
        return self.settings


Test = Callable[[Installation], Iterable[Answer]]


@dataclass(frozen=True, slots=True)
class Check:
    """One registered check."""

    id: str
    title: str
    explanation: str
    test: Test
    needs_settings: bool

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {"id": self.id, "title": self.title, "explanation": self.explanation}


@dataclass(frozen=True, slots=True)
class Report:
    """Every finding, in the order of the checks."""

    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        """The worst of them."""
        found = {one.status for one in self.findings}
        return next((one for one in (Status.FAIL, Status.WARN) if one in found), Status.PASS)

    def count(self, status: Status) -> int:
        """How many findings have this status."""
        return sum(one.status is status for one in self.findings)

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "status": str(self.status),
            "counts": {str(status): self.count(status) for status in Status},
            "findings": [one.as_data() for one in self.findings],
        }


_REGISTERED: dict[str, Check] = {}


def check(id_: str, title: str, *, needs_settings: bool = True) -> Callable[[Test], Test]:
    """Register a check; its docstring is what `check --explain` prints."""

    def register(test: Test) -> Test:
        assert id_ not in _REGISTERED, f"{id_} is taken"
        text = " ".join((test.__doc__ or "").split())
        _REGISTERED[id_] = Check(id_, title, text, test, needs_settings)
        return test

    return register


def checks() -> tuple[Check, ...]:
    """Every check, in the order they run."""
    for name in _MODULES:
        import_module(f"gatepost.admin.check.{name}")
    return tuple(_REGISTERED.values())


def explain(id_: str) -> Check:
    """One check by its id; raises ConfigError."""
    known = {one.id: one for one in checks()}
    if id_.upper() not in known:
        raise ConfigError(
            f"there is no check {id_}", hint=f"the checks are {', '.join(sorted(known))}"
        )
    return known[id_.upper()]


def run(path: Path | None = None, only: Iterable[str] = (), now: datetime | None = None) -> Report:
    """Run all checks, or only these ids."""
    wanted = {explain(one).id for one in only}
    place = _installation(path, now or datetime.now(UTC))
    chosen = [one for one in checks() if not wanted or one.id in wanted]
    return Report(tuple(finding for one in chosen for finding in _findings(one, place)))


def _installation(path: Path | None, now: datetime) -> Installation:
    try:
        path = path or find()
        return Installation(path, load(path), "", now)
    except ConfigError as error:
        return Installation(path, None, str(error), now, str(error.fields.get("hint", "")))


def _findings(one: Check, place: Installation) -> Iterator[Finding]:
    for answer in _answers(one, place):
        yield Finding(one.id, one.title, answer.status, answer.detail, answer.fix)


def _answers(one: Check, place: Installation) -> list[Answer]:
    if one.needs_settings and place.settings is None:
        return [Answer(Status.SKIP, "needs a configuration without faults (CFG-01)")]
    try:
        return list(one.test(place)) or [Answer(Status.SKIP, "nothing to check")]
    except Unready as error:
        return [Answer(Status.SKIP, str(error))]
    except GatepostError as error:
        return [Answer(Status.FAIL, str(error), str(error.fields.get("hint", "")))]
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return [Answer(Status.FAIL, f"{where}{error.strerror or error}")]
    except Exception as error:  # noqa: BLE001  one broken check must not hide the others
        return [Answer(Status.FAIL, f"the check itself failed: {type(error).__name__}: {error}")]


def good(detail: str) -> Answer:
    """All is well."""
    return Answer(Status.PASS, detail)


def warn(detail: str, fix: str = "") -> Answer:
    """Works, but somebody should look."""
    return Answer(Status.WARN, detail, fix)


def bad(detail: str, fix: str = "") -> Answer:
    """Does not work."""
    return Answer(Status.FAIL, detail, fix)


def skip(detail: str) -> Answer:
    """Cannot be known here and now."""
    return Answer(Status.SKIP, detail)
