"""What the vault reads: frames and questions, boxes, sealed files, wrapped keys, paddings.

Invariant: a value, or an error the function names; nothing opens but what was sealed, to its
last octet and in its place; no answer holds a private key.
"""

from __future__ import annotations

import base64
import io
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives.asymmetric import ec
from tests.fuzz import choice, people
from tests.unit.vault.door import desk

from gatepost.errors import ConfigError, KeyUnavailable, Malformed, Unavailable
from gatepost.mail.content import Octets
from gatepost.store.sealing import Corrupt
from gatepost.store.spool import Spool, _bound
from gatepost.vault import archive, custody, encoding, kek, wrap
from gatepost.vault import desk as asked
from gatepost.vault.frame import MOST, Frame, Line, Word, name_of
from gatepost.vault.kek import Kek
from gatepost.vault.seal import SealBroken, Sealer
from gatepost.vault.stream import CHUNK

KEK = Kek(bytes(range(32)))
SEALER = Sealer(KEK, "fuzz")
PLACE = b"a place"
SECRET = "correct horse battery"
PLAIN = b"nobody may read this " * 4
ENTRIES = [(b"M", b"{}"), (b"B", PLAIN), (b"E", b"")]
COST = 4  # of a passphrase; what more of it does is known
BLOCK = 128  # octets of an RSA block
NOWHERE = kek.KekSource("environment", "FUZZ")
TRANSIT = wrap.Transit("https://vault.example", "key", "token")

WORDS = (
    *(bytes((1, word)) for word in Word),
    *(b"\0\0\0\x01", b"\0\0\0\0", b"\xff\xff\xff\xff", b"rsa-pss", b"sha256", b"ecdsa", b"p256"),
    *(b"gatepost-backup 1\n", b"gpspool1", b"passphrase:", b"transit:", b'{"data":{"plaintext":"'),
    *(b"people", b"queue", b"\0\2", b"\0\1"),
)


def target(octets: bytes) -> None:
    """One input."""
    choice.read(READERS, octets)


def frame(octets: bytes) -> None:
    """A frame: alone and on a line, written as it was read."""
    with suppress(Malformed):
        found = Frame.parse(octets)
        assert len(found.fields) <= MOST
        assert found.octets()[4:] == octets
    for said in (octets, len(octets).to_bytes(4, "big") + octets):
        ours, its = socket.socketpair()
        with ours, its, suppress(Malformed, ConnectionError):
            its.sendall(said)
            its.shutdown(socket.SHUT_WR)
            heard = Line(ours).hear(5.0)
            assert heard == (Frame.parse(said[4:]) if said else None)


def question(octets: bytes) -> None:
    """The key process's answer tells no private key."""
    with suppress(Malformed), mock.patch.object(asked, "_log"), quick_keys():
        answer = opened_desk()(Frame.parse(octets))
        assert not any(each in answer.octets() for each in secrets())
        assert answer.word >= Word.DONE


def box(octets: bytes) -> None:
    """A box opens where it belongs, as it was made."""
    with suppress(SealBroken, KeyUnavailable):
        assert SEALER.unseal(octets, PLACE) == PLAIN


def sealed_file(octets: bytes) -> None:
    """A backup opens to its last entry or says what is wrong."""
    found = []
    with suppress(ConfigError, SealBroken), cheap():
        for one in archive.entries(io.BytesIO(octets), SECRET):
            found.append(one)  # noqa: PERF402 - what came before the fault counts
        assert found in (ENTRIES, [])
    assert found == ENTRIES[: len(found)]


def body(octets: bytes) -> None:
    """A body of the queue is what was written, or corrupt."""
    found = b""
    (spool().folder / "body").write_bytes(octets)
    try:
        for chunk in spool().open("body", len(PLAIN), PLACE).chunks():
            found += chunk
    except (Corrupt, Unavailable):
        assert len(found) % CHUNK == 0
    else:
        assert found == PLAIN


def wrapped(octets: bytes) -> None:
    """A wrapped key, and what another vault answers."""
    text = octets.decode("latin-1")
    with suppress(KeyUnavailable), cheap():
        assert wrap.Passphrase(SECRET).unwrap(text) == KEK.key
    with suppress(KeyUnavailable):
        assert isinstance(TRANSIT._field(octets, "plaintext"), str)
    with suppress(KeyUnavailable), cheap():
        Kek(kek._decode(octets, NOWHERE, wrap.Passphrase(SECRET)))


def padding(octets: bytes) -> None:
    """Paddings as their RFC reads them, at whatever length."""
    block = octets[:BLOCK].ljust(BLOCK, b"\0")
    message = encoding.v15(block, b"secret", octets)
    zero = block.find(b"\0", 2)
    if block[:2] == b"\0\2" and zero >= 10:
        assert message == block[zero + 1 :]
    assert len(message) <= BLOCK - 11
    assert encoding.v15(block, b"secret", octets) == message
    found = encoding.oaep(block, "sha256", "sha1", b"label")
    assert found is None or len(found) <= BLOCK - 66
    assert encoding.oaep(octets[:60], "sha256", "sha256", b"") is None


READERS: tuple[choice.Reader, ...] = (
    frame,
    question,
    box,
    sealed_file,
    body,
    wrapped,
    padding,
)


@cache
def key() -> ec.EllipticCurvePrivateKey:
    """The key in the process."""
    found = people.person("bob@example.net", "p256").key
    assert isinstance(found, ec.EllipticCurvePrivateKey)
    return found


@cache
def lent() -> tuple[str, bytes]:
    """Its id, and its box."""
    with steady():
        return custody.Safe(Sealer(KEK, "private keys")).seal(key())


@cache
def opened_desk() -> asked.Desk:
    """A key process that has it open."""
    made = desk()
    made(Frame(Word.OPEN, (lent()[0].encode(), lent()[1])))
    return made


def secrets() -> tuple[bytes, ...]:
    """What no answer may hold."""
    return (key().private_numbers().private_value.to_bytes(32, "big"), KEK.key)


def quick_keys() -> AbstractContextManager[object]:
    """Making keys takes its time, and finds nothing."""
    return mock.patch.object(custody, "generate", return_value=key())


@cache
def spool() -> Spool:
    """A folder that goes with the process."""
    folder = tempfile.TemporaryDirectory(prefix="fuzz-")
    _KEPT.append(folder)
    return Spool(Path(folder.name), SEALER)


_KEPT: list[object] = []


@contextmanager
def cheap() -> Iterator[None]:
    """Files that ask for much of a processor are refused."""
    with (
        mock.patch.object(archive, "_HIGHEST_COST", COST),
        mock.patch.object(wrap, "_HIGHEST_COST", COST),
    ):
        yield


@contextmanager
def steady() -> Iterator[None]:
    """What is sealed is the same in every process."""
    with mock.patch.object(os, "urandom", bytes):
        yield


def questions() -> Iterator[Frame]:
    """One of every kind."""
    name = name_of(*lent())
    data = b"to be signed"
    yield Frame(Word.OPEN, (lent()[0].encode(), lent()[1]))
    for family in (b"ecdsa", b"rsa-pss", b"ed25519"):
        yield Frame(Word.SIGN, (name, family, b"sha256", b"32", data))
    yield Frame(Word.UNWRAP, (name, b"rsa-oaep", b"sha256", b"sha1", b"", bytes(256)))
    yield Frame(Word.AGREE, (name, b"\4" + bytes(64)))
    yield Frame(Word.DECAPSULATE, (name, bytes(1088)))
    yield Frame(Word.SUBKEY, (b"queue",))
    yield Frame(Word.MAKE, (b"p256", b"people", b"label"))
    yield Frame(Word.SEAL, (people.person("bob@example.net", "ed25519").key_der,))
    yield Frame(Word.UNLOCK, (b"passphrase",))
    yield Frame(Word.DONE, (b"", b"x"))


def blocks() -> Iterator[bytes]:
    """Paddings that are right."""
    yield b"\0\2" + b"\xff" * 20 + b"\0" + b"message"
    yield b"\0\2" + b"\xff" * 8 + b"\0"
    yield b"\0" + bytes(range(127))


def seeds() -> Iterator[bytes]:
    """What we write ourselves."""
    frames = [one.octets()[4:] for one in questions()]
    with steady():
        file = io.BytesIO()
        writer = archive.Writer(file, SECRET, COST)
        for one in ENTRIES:
            writer.add(*one)
        writer.finish()
        path = spool().folder / "seed"
        spool()._write(path, _bound("body", PLACE), Octets(PLAIN))
        sealed = wrap.Passphrase(SECRET, COST).wrap(KEK.key)
        kept = SEALER.seal(PLAIN, PLACE)
    answer = b'{"data":{"plaintext":"%s"}}' % base64.b64encode(KEK.key)
    yield from choice.sown(
        READERS,
        {
            frame: frames[:4],
            question: frames,
            box: [kept, SEALER.seal(b"", b"elsewhere")],
            sealed_file: [file.getvalue()],
            body: [path.read_bytes()],
            wrapped: [
                sealed.encode(),
                answer,
                KEK.key.hex().encode(),
                b"passphrase:" + sealed.encode(),
            ],
            padding: blocks(),
        },
    )
