"""A text that must not be seen, and places where it might be."""

import base64
import os
from collections.abc import Iterable
from pathlib import Path

MARKER = b"the-price-is-2.4-million"
LINE = MARKER + b" " + b"x" * 50 + b"\r\n"
_FORMS = (
    MARKER,
    *(base64.b64encode(b"?" * shift + MARKER + b"??")[4:-4] for shift in range(3)),
    MARKER.hex().encode(),
)
LONGEST = max(map(len, _FORMS))
_PIECE = 1 << 20


def text(size: int) -> bytes:
    """So many octets of it, roughly."""
    return LINE * max(1, size // len(LINE))


def is_seen(octets: bytes) -> bool:
    """Whether the text is there: as it is, in hex, or in base64 at any alignment."""
    joined = octets.replace(b"\r\n", b"")
    return any(form in octets or form in joined for form in _FORMS)


def assert_absent(folders: Iterable[Path]) -> int:
    """No file below may hold it; returns how many octets were looked at."""
    looked = 0
    for folder in folders:
        for place, _, names in os.walk(folder):  # which bears that folders come and go
            looked += sum(_read_through(Path(place, name)) for name in names)
    return looked


def _read_through(path: Path) -> int:
    looked, rest = 0, b""
    if not path.is_file():  # a socket
        return looked
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                looked += len(piece)
                assert not is_seen(rest + piece), f"clear text in {path}"
                rest = piece[-2 * LONGEST :]
    except FileNotFoundError:  # delivered meanwhile
        return looked
    return looked
