"""What an eavesdropper makes of the octets: an SMTP dialogue with unreadable parts folded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

CIPHERTEXT = re.compile(r"[A-Za-z0-9+/]{56,}={0,2}$|[A-Za-z0-9+/]{4,}={1,2}$")
SHOWN = 6  # lines of base64 shown at each end of a long run
MAXIMUM_LINES = 400

Line = tuple[str, str]  # kind: c client, s server, x unreadable; text


def dialogue(parts: Iterable[tuple[str, bytes]]) -> list[Line]:
    """The recorded octets as marked lines."""
    lines = list(_lines(parts))[:MAXIMUM_LINES]
    return [
        line for kind, run in groupby(lines, key=lambda one: one[0]) for line in _fold(kind, run)
    ]


def _lines(parts: Iterable[tuple[str, bytes]]) -> Iterator[Line]:
    for direction, octets in parts:
        for line in octets.decode("utf-8", "replace").splitlines():
            if direction == "S":
                yield "s", f"S: {line}"
            else:
                yield ("x" if CIPHERTEXT.match(line) else "c"), line


def _fold(kind: str, run: Iterator[Line]) -> Iterator[Line]:
    lines = list(run)
    if kind != "x" or len(lines) <= 2 * SHOWN + 1:
        yield from lines
        return
    yield from lines[:SHOWN]
    yield "s", f"   … {len(lines) - 2 * SHOWN} more lines nobody else can read …"
    yield from lines[-SHOWN:]
