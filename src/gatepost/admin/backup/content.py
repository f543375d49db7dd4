"""What a backup holds: the kinds of entries, their order, and how values are written.

Manifest, key, files, queued items each with its body, records, rows of the directory, end.
The end repeats the counts.  Format 1.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

FORMAT: Final = 1
MANIFEST, KEY, FILE, ITEM, BODY, RECORDS, ROWS, END = (bytes((one,)) for one in b"MKFIBRTE")
ORDER: Final = (MANIFEST, KEY, FILE, ITEM, BODY, RECORDS, ROWS, END)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the backup is of."""

    format: int
    created: str
    version: str  # of Gatepost
    schema: str  # of the directory
    hostname: str
    domains: tuple[str, ...]
    config: str  # where the configuration file was


@dataclass(frozen=True, slots=True)
class Summary:
    """What is in a backup."""

    manifest: Manifest
    files: tuple[str, ...]
    items: int
    records: int
    rows: int

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {**asdict(self.manifest), **self.counts(), "files": list(self.files)}

    def counts(self) -> dict[str, int]:
        """How much of each."""
        return {"items": self.items, "records": self.records, "rows": self.rows}


def written(value: object) -> bytes:
    """JSON; octets in base64 under a name of their own."""
    return json.dumps(value, default=_octets, separators=(",", ":")).encode()


def read(payload: bytes) -> Any:
    """Undo `written`."""
    return json.loads(payload, object_hook=_plain)


@dataclass(frozen=True, slots=True)
class File:
    """A file with its place and its mode."""

    path: str
    mode: int
    octets: bytes
    below: str = ""  # its place below the state, wherever that will be

    def as_entry(self) -> bytes:
        """The payload of a backup's entry."""
        told = {"path": self.path, "mode": self.mode, "below": self.below}
        return written(told) + b"\n" + self.octets

    @classmethod
    def of(cls, payload: bytes) -> File:
        """Undo `as_entry`; raises ValueError for a place outside of the state."""
        head, _, octets = payload.partition(b"\n")
        told = read(head)
        below = str(told.get("below", ""))
        if ".." in below.split("/") or below.startswith("/"):
            raise ValueError(below)
        return cls(str(told["path"]), int(told["mode"]) & 0o777, octets, below)


def rows_entry(table: str, rows: Iterable[dict[str, Any]]) -> bytes:
    """Rows of one table."""
    return written({"table": table, "rows": list(rows)})


def _octets(value: object) -> dict[str, str]:
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(bytes(value)).decode()}
    raise TypeError(f"a {type(value).__name__} in a row")


def _plain(found: dict[str, Any]) -> Any:
    return base64.b64decode(found["base64"], validate=True) if found.keys() == {"base64"} else found
