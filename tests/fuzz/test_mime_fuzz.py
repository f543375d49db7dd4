"""Invariant: either a value or Malformed, never another exception, and quickly."""

import random
import time
from collections.abc import Callable

import pytest

from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.dsn import xtext
from gatepost.mail.field import compose
from gatepost.mail.trace import count_received, strip_authentication_results
from gatepost.mime.canonical import convert, is_seven_bit
from gatepost.mime.entity import decoded, parse, split_header, walk
from gatepost.mime.headers import author, content_type, fields, filename, mailboxes

SEED = (
    b'From: =?utf-8?q?J=C3=B6rg?= <a@b.example> (c), G: "x" <c@d.example>;\r\n'
    b"Authentication-Results: (c) gate.example 1; smime=pass\r\n"
    b"Content-Type: multipart/signed; boundary=\"b b\"; name*0*=utf-8''%C3; name*1=x\r\n\r\n"
    b"--b b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n"
    b"--b b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: text/html;\r\n charset=utf-8\r\n\r\n."
    b"\r\n--b b--\r\n"
)
PIECES = [b"\r\n", b"\n", b"\r", b"--b b", b"--", b"=?", b"?=", b"=", b'"', b"(", b")", b"<", b">", b"@", b";", b":", b",", b"\\", b"*", b"%", b"'", b"\xff", b"\0", b" ", b"multipart/", b"message/rfc822", b"base64", b"quoted-printable"]  # fmt: skip


def target(octets: bytes) -> None:
    """Everything that reads a stranger's octets."""
    try:
        header, _ = split_header(octets)
        author(header)
        count_received(header)
        strip_authentication_results(header, "gate.example")
        for field in fields(header):
            compose(field.name, field.text[:500])
            mailboxes(field.value)
        for entity in walk(parse(octets)):
            content_type(entity.header)
            filename(entity.header)
            decoded(entity)
        made = convert(octets)
        assert made.obstacles or is_seven_bit(Octets(made.octets))
        text = octets.decode("utf-8", "surrogateescape")
        xtext(text)
        Mailbox.parse(text)
    except Malformed:
        pass


def mutated(chance: random.Random, octets: bytes) -> bytes:
    out = bytearray(octets)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(out) + 1)
        end = min(len(out), at + chance.randrange(9))
        out[at:end] = chance.choice(
            [chance.choice(PIECES), chance.randbytes(3), bytes(out[:at][-40:])]
        )
    return bytes(out)


@pytest.mark.parametrize("seed", range(10))
def test_mutations(seed: int) -> None:
    """A stranger's mail ends a worker."""
    chance = random.Random(seed)
    for _ in range(300):
        target(mutated(chance, SEED))


REPEATED: list[Callable[[bytes], bytes]] = [
    lambda piece: piece * (200_000 // len(piece)),
    lambda piece: b"From: " + piece * (200_000 // len(piece)) + b"\r\n\r\n",
    lambda piece: b"Content-Type: multipart/x; boundary=b; " + piece * (200_000 // len(piece)) + b"\r\n\r\n",
    lambda piece: b"Authentication-Results: " + piece * (200_000 // len(piece)) + b"\r\n\r\n",
    lambda piece: b"Content-Type: text/plain\r\n\r\n\xff" + piece * (200_000 // len(piece)),
    lambda piece: b'Content-Type: multipart/x; boundary="b b"\r\n\r\n' + piece * (200_000 // len(piece)),
]  # fmt: skip


@pytest.mark.parametrize("piece", [*PIECES, b"=?a?q?", b"a@b,", b"(\\", b";a=", b'"\\', b"a*1*=x;", b"--b b\r\n", b"\r\n--b"])  # fmt: skip
def test_repetition_takes_linear_time(piece: bytes) -> None:
    """A mail of 200 KB keeps a worker busy for an hour."""
    for make in REPEATED:
        began = time.perf_counter()
        target(make(piece))
        assert time.perf_counter() - began < 3
