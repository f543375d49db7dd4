"""Fuzz target for the S/MIME reader.

Invariant: any message gives layers and reports or a GatepostError, never another exception;
and no mutation of a signed entity is called valid.

`pytest` runs some hundred mutations; `python -m tests.fuzz.test_smime_fuzz SECONDS` goes on.
"""

from __future__ import annotations

import random
import sys
import time

from tests.unit.smime.letters import BODY, bob, decrypt, encrypt, octets, sign, verify
from tests.unit.smime.test_outlook import clear, packed

from gatepost.errors import GatepostError
from gatepost.mail.content import Octets, join
from gatepost.mime import canonical
from gatepost.mime.entity import split_header
from gatepost.smime import layers, outlook
from gatepost.smime.decrypt import ENCRYPTED
from gatepost.smime.protection import Protection
from gatepost.smime.report import Verdict
from gatepost.smime.verify import SIGNED

CLEAR, HIDES = Protection(encrypted=False), Protection(encrypted=True, hides=True)
SEEDS = [
    octets(sign()),
    octets(sign(form="opaque")),
    octets(encrypt()),
    octets(encrypt(cipher="aes128-cbc")),
    octets(encrypt(*sign())),
    octets(encrypt(*sign(protect=HIDES))),
    octets(encrypt(protect=HIDES)),
    octets(sign(protect=CLEAR)),
    octets(packed(clear())),
]
SIGNED_SEEDS = SEEDS[:2]
WORDS = (
    *(b"--=_token1", b"--=_token1--", b"\r\n", b"\n", b"\r\n\r\n", b"multipart/signed", b"\0"),
    *(
        b"application/pkcs7-mime",
        b"Content-Type: ",
        b"boundary=",
        b"base64",
        b"MIAGCSqGSIb3DQEHAqCA",
        b'; hp="cipher"',
        b"HP-Outer: ",
        b"Subject: x\r\n",
        b"message/rfc822",
    ),
)


def target(message: bytes) -> None:
    """One message through everything that reads."""
    try:
        header, body = split_header(message)
        if (bare := outlook.unwrapped(header, Octets(body))) is not None:
            header, body = bare[0], join(bare[1])
        layer = layers.outermost(header, body)
        if layer is None or not layer.whole:
            return
        if layer.kind in ENCRYPTED:
            opened = decrypt(header, body, bob())
            assert not opened.report.authenticated or join(opened.body)
        elif layer.kind in SIGNED:
            checked = verify(header, body, keep_signature=False)
            assert checked.report.as_data()
            if checked.report.verdict is Verdict.VALID:
                assert canonical.crlf(join(checked.body)) == BODY
    except GatepostError:
        return


def mutated(chance: random.Random) -> bytes:
    """A seed with some octets flipped, cut, doubled or replaced by telling words."""
    octets = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(1, 6)):
        start = chance.randrange(len(octets))
        stop = min(len(octets), start + chance.randint(1, 40))
        match chance.randrange(4):
            case 0:
                octets[start] ^= 1 << chance.randrange(8)
            case 1:
                del octets[start:stop]
            case 2:
                octets[start:start] = octets[start:stop]
            case _:
                octets[start:stop] = chance.choice(WORDS)
        if not octets:
            octets += b"\r\n"
    return bytes(octets)


def test_mutations() -> None:
    """A hostile message stops the gateway, or is shown as signed by Alice."""
    chance = random.Random(20260601)
    for _ in range(600):
        target(mutated(chance))


def test_seeds_are_good() -> None:
    """Mutating what is broken already would test nothing."""
    for seed in SIGNED_SEEDS:
        assert verify(*split_header(seed)).report.verdict is Verdict.VALID


def main(seconds: float) -> None:
    """Go on for some time, printing the seed of what fails."""
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        number += 1
        target(mutated(random.Random(number)))
    sys.stdout.write(f"{number} messages, nothing found\n")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
