"""One line of the corpus' expected.jsonl."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("GATEPOST_CORPUS", ROOT.parent / "shared" / "corpus"))

# label_basis of labels that come from the source's own tests or from an RFC
SCORABLE = frozenset({"source-test", "source-test-read", "rfc"})
# labels that leave it to the reader, so that only "no crash" can be asked
OPEN = frozenset(
    {
        "ambiguous",
        "decrypts-or-reject",
        "decrypts-or-unsupported",
        "implementation-dependent",
        "reject-or-implicit",
        "see-note",
    }
)


@dataclass(frozen=True)
class Entry:
    """A message, certificate path or key file, with what its source says of it."""

    row: dict[str, Any] = field(repr=False)
    folder: Path = field(default=FOLDER, repr=False)

    @property
    def id(self) -> str:
        """The name it is listed under."""
        return str(self.row["id"])

    @property
    def source(self) -> str:
        """The project it comes from."""
        return self.id.partition("/")[0]

    @property
    def kind(self) -> str:
        """What sort of thing it is, such as multipart, path or attack."""
        return str(self.row["kind"])

    @property
    def label(self) -> str:
        """What should come of it, without details."""
        return str(self.row["expected"]).partition(";")[0].strip()

    @property
    def details(self) -> str:
        """What the label says besides."""
        return str(self.row["expected"]).partition(";")[2].strip()

    @property
    def note(self) -> str:
        """The corpus' remark."""
        return str(self.row.get("note", ""))

    @property
    def is_scorable(self) -> bool:
        """Whether the label is the source's own, and definite."""
        return self.row["label_basis"] in SCORABLE and self.label not in OPEN

    @property
    def is_attack(self) -> bool:
        """Whether somebody is to be deceived by it."""
        return self.kind == "attack"

    @property
    def is_judged(self) -> bool:
        """Attacks, and the good mails that stand beside them, are judged whoever labelled them."""
        paper = self.row["label_basis"] == "paper" and self.kind in ("signed", "enveloped")
        return self.is_scorable or ((self.is_attack or paper) and self.label not in OPEN)

    @property
    def is_signature_only(self) -> bool:
        """Whether the source looks at the signature and not at the certificates."""
        return self.row.get("scope") == "signature-only"

    @property
    def octets(self) -> bytes:
        """The file."""
        return (self.folder / str(self.row["file"])).read_bytes()

    def text(self, name: str) -> str:
        """A field of the row, or nothing."""
        return str(self.row.get(name) or "")

    def paths(self, name: str) -> tuple[Path, ...]:
        """The files a field of the row names; a folder counts for all that is in it."""
        found: list[Path] = []
        for one in self.row.get(name) or ():
            path = self.folder / one
            found += sorted(path.rglob("*")) if path.is_dir() and one else [path]
        return tuple(one for one in found if one.is_file())

    @property
    def keys(self) -> tuple[Path, ...]:
        """The files its keys are in; an entry without any may use those of its neighbours."""
        neighbours = sorted((self.folder / self.source / "keys").rglob("*"))
        return self.paths("key_files") or tuple(one for one in neighbours if one.is_file())


def entries(folder: Path = FOLDER, source: str = "") -> Iterator[Entry]:
    """Every entry we have to do with: not OpenPGP yet, nor primitives (those `cms` tests)."""
    for line in (folder / "expected.jsonl").read_text().splitlines():
        one = Entry(json.loads(line), folder)
        if one.row.get("protocol") == "openpgp" or one.kind == "vector":
            continue
        if not source or one.source == source:
            yield one
