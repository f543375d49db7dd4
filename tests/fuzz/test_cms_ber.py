"""Fuzz target for the CMS reader.

Invariant: whatever a stranger sends, we read it, or raise a GatepostError, in time linear in
its size; and what is called intact or authenticated is what was written.

`pytest` runs a few thousand mutations; `python -m tests.fuzz.test_cms_ber SECONDS` goes on.
"""

from __future__ import annotations

import random
import sys
import time
import zlib
from datetime import UTC, datetime

import pytest
from tests.pki_builder import KeyKind, user
from tests.unit.cms import test_recipient as recipients

from gatepost.cms import compressed, content, der, enveloped, keywrap, secret, signed
from gatepost.cms.capability import KeyTransport, Password, Secret, SharedKey
from gatepost.errors import GatepostError
from gatepost.mail.content import Octets, join

TEXT = b"Content-Type: text/plain\r\n\r\nHello\r\n" * 3
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SIGNING: tuple[KeyKind, ...] = ("rsa2048", "p256", "ed25519", "ml-dsa-44")
READING: tuple[KeyKind, ...] = ("rsa2048", "p256", "x25519", "ml-kem-768")
DECRYPTORS = [user("bob@example.com", kind).decryptor for kind in READING]
SECRETS: list[Secret] = [Password(b"secret"), SharedKey(bytes(32))]
ITERATIONS = 5_000  # what a second of PBKDF2 does is known; it finds nothing


def target(octets: bytes) -> None:
    """One input through every reader."""
    try:
        kind = content.kind(octets)
        if kind == "compressed-data":
            assert len(compressed.decompress(octets).content) <= compressed.HARMLESS
        elif kind == "signed-data":
            found = signed.parse(octets)
            intact = any(verdict.intact for verdict in signed.verify(found, Octets(TEXT)))
            assert not intact or found.content in (None, TEXT)
        else:
            opened = enveloped.decrypt(octets, DECRYPTORS, entropy=bytes, secrets=SECRETS)
            assert not opened.authenticated or opened.content in (TEXT, recipients.TEXT)
    except GatepostError:
        return


def seeds() -> list[bytes]:
    """Messages of every form we write, some loosened to BER."""
    made = [_compressed(), *map(recipients.sealed, _shared())]
    for kind in SIGNING:
        one = user("bob@example.com", kind)
        for detached in (True, False):
            content_info = signed.sign(
                Octets(TEXT), [one.signer], None, detached=detached, when=NOW
            )
            made.append(join(content_info))
    for kind in READING:
        for cipher in ("aes256-gcm", "aes128-cbc"):
            sealed = enveloped.encrypt(
                Octets(TEXT),
                [user("bob@example.com", kind).certificate],
                cipher=cipher,
                key_transport=KeyTransport("rsa-oaep"),
                entropy=random.Random(1).randbytes,
            )
            made.append(join(sealed))
    return made + [_indefinite(one) for one in made]


def _shared() -> list[bytes]:
    """RecipientInfos for a password and for a key both have."""
    wrapped = keywrap.wrap(bytes(32), recipients.KEY)
    return [recipients.by_password(), recipients.under_key(b"key", wrapped)]


def _compressed() -> bytes:
    inside = der.explicit(0, der.octet_string(zlib.compress(TEXT)))
    algorithm = der.sequence(der.oid("1.2.840.113549.1.9.16.3.8"))
    about = der.sequence(der.tlv(0x06, content.DATA), inside)
    body = der.sequence(der.integer(0), algorithm, about)
    return der.sequence(der.tlv(0x06, content.COMPRESSED_DATA), der.explicit(0, body))


def _indefinite(octets: bytes) -> bytes:
    """The outermost length made indefinite."""
    return b"\x30\x80" + octets[4:] + b"\x00\x00"


def mutated(octets: bytes, dice: random.Random) -> bytes:
    """A few of the changes that break parsers."""
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(octets) or 1)
        before, rest = octets[:at], octets[at:]
        change = dice.randrange(5)
        if change == 0:
            rest = bytes((dice.randrange(256),)) + rest[1:]
        elif change == 1:
            rest = bytes((dice.choice((0x00, 0x7F, 0x80, 0x84, 0xFF, 0x24, 0xA0)),)) + rest[1:]
        elif change == 2:
            rest = bytes((dice.randrange(256),)) + rest
        elif change == 3:
            rest = rest[:20] + rest
        else:
            rest = rest[dice.randint(1, 300) :]
        octets = before + rest
    return octets


def test_mutations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail that crashes the reader stops every mail behind it."""
    monkeypatch.setattr(secret, "MAXIMUM_ITERATIONS", ITERATIONS)
    dice, inputs = random.Random(20260601), seeds()
    for _ in range(4_000):
        target(mutated(dice.choice(inputs), dice))


def main(seconds: float) -> None:
    """Go on for so long; an input that breaks the invariant is shown."""
    secret.MAXIMUM_ITERATIONS = ITERATIONS
    until, number, inputs = time.monotonic() + seconds, 0, seeds()
    while time.monotonic() < until:
        dice = random.Random(number)
        octets = mutated(dice.choice(inputs), dice)
        try:
            target(octets)
        except BaseException:
            sys.stderr.write(f"input {number}: {octets.hex()}\n")
            raise
        number += 1
    sys.stdout.write(f"{number} inputs\n")


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 60.0)
