"""Bring an installation from files to the database that several nodes share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatepost.config import load
from gatepost.engine import backend
from gatepost.errors import ConfigError
from gatepost.store.sqlite_database import SqliteDatabase
from gatepost.store.transfer import copy


@dataclass(frozen=True, slots=True)
class Filled:
    """What was copied."""

    source: Path
    target: str
    counts: dict[str, int]

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {"source": str(self.source), "target": self.target, "rows": self.counts}


def fill(config: Path | None) -> Filled:
    """Copy this machine's directory; the file stays as it is, and is not used any more."""
    settings = load(config)
    if not settings.database.address:
        raise ConfigError(
            "the configuration names no [database]", hint="gatepost config schema tells how"
        )
    source = backend.directory_file(settings)
    if not source.exists():
        raise ConfigError(f"there is no directory at {source} to fill the database from")
    here, there = SqliteDatabase(source), backend.open_database(settings)
    try:
        return Filled(source, str(there.place), copy(here, there))
    finally:
        there.close()
        here.close()
