"""Fuzz target for the TNEF reader.

Invariant: any octets give a container or Malformed, in time linear in their number.

`pytest` runs some hundred mutations; `python -m tests.fuzz.test_tnef_fuzz SECONDS` goes on.
"""

from __future__ import annotations

import random
import sys
import time

from tests.unit.tnef.test_container import attribute, listed, stream

from gatepost.errors import Malformed
from gatepost.tnef import container, mapi

SEEDS = [
    stream(
        attribute(1, 0x8008, b"IPM.Note.SMIME\0"),
        attribute(1, 0x9003, listed((0x001E, mapi.BODY, b"text\0"), (0x0102, mapi.RTF, b"rtf"))),
        attribute(2, 0x9002, bytes(14)),
        attribute(2, 0x800F, b"data" * 20),
        attribute(2, 0x9005, listed((0x001F, mapi.ATTACH_LONG_NAME, b"a\0.\0b\0"))),
    ),
    stream(),
]
WORDS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x1f\x10", b"\x01\x10\0\0", b"\x02\x02\x90", b"\x80")


def target(octets: bytes) -> None:
    """One stream."""
    try:
        found = container.read(octets)
    except Malformed:
        return
    assert sum(len(one.data) for one in found.attachments) <= len(octets)


def mutated(chance: random.Random) -> bytes:
    """A seed with some octets flipped, cut, doubled or replaced by telling words."""
    octets = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(1, 5)):
        start = chance.randrange(len(octets) + 1)
        stop = min(len(octets), start + chance.randint(1, 24))
        match chance.randrange(4):
            case 0 if start < len(octets):
                octets[start] ^= 1 << chance.randrange(8)
            case 1:
                del octets[start:stop]
            case 2:
                octets[start:start] = octets[start:stop]
            case _:
                octets[start:stop] = chance.choice(WORDS)
    return bytes(octets)


def test_mutations() -> None:
    """A hostile winmail.dat stops the gateway."""
    chance = random.Random(20260601)
    for _ in range(2000):
        target(mutated(chance))


def main(seconds: float) -> None:
    """Go on for some time; a failure's number is its seed."""
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        number += 1
        target(mutated(random.Random(number)))
    sys.stdout.write(f"{number} streams, nothing found\n")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
