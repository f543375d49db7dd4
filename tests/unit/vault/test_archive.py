"""The sealed file of a backup: whole or not at all."""

import io
from collections.abc import Iterator

import pytest

from gatepost.errors import ConfigError, GatepostError
from gatepost.vault import archive
from gatepost.vault.stream import SEALED_CHUNK

SECRET = "correct horse battery"
CHEAP = 4
ENTRIES = [(b"M", b"{}"), (b"B", b"x" * 200_000), (b"E", b""), (b"B", b"y" * 65_531)]


def sealed(entries: list[archive.Entry], secret: str = SECRET) -> bytes:
    file = io.BytesIO()
    writer = archive.Writer(file, secret, CHEAP)
    for one in entries:
        writer.add(*one)
    writer.finish()
    return file.getvalue()


def opened(octets: bytes, secret: str = SECRET) -> Iterator[archive.Entry]:
    return archive.entries(io.BytesIO(octets), secret)


@pytest.mark.parametrize("entries", [[], ENTRIES[:1], ENTRIES])
def test_back_again(entries: list[archive.Entry]) -> None:
    """Entries lose their borders where chunks end."""
    assert list(opened(sealed(entries))) == entries


def test_nothing_is_readable() -> None:
    """Who finds the file reads keys."""
    octets = sealed([(b"K", b"a private key indeed")])
    assert b"private" not in octets
    assert sealed(ENTRIES) != sealed(ENTRIES)


def test_wrong_passphrase() -> None:
    """A mistyped passphrase sounds like a damaged file."""
    with pytest.raises(archive.WrongSecret, match="does not open this backup"):
        list(opened(sealed(ENTRIES), "incorrect horse"))


def test_every_change_is_noticed() -> None:
    """A disk's error is restored as somebody's key."""
    octets = sealed(ENTRIES)
    for place in (*range(70), *range(70, len(octets), 9_973), len(octets) - 1):
        damaged = bytearray(octets)
        damaged[place] ^= 1
        with pytest.raises(GatepostError):
            list(opened(bytes(damaged)))


def test_every_cut_is_noticed() -> None:
    """Half a backup is restored as if the rest had never been."""
    octets = sealed(ENTRIES)
    for size in (*range(70), 70 + SEALED_CHUNK, len(octets) - 1):
        with pytest.raises(GatepostError):
            list(opened(octets[:size]))
    with pytest.raises(GatepostError):
        list(opened(octets + b"x"))


def test_a_key_must_not_cost_everything() -> None:
    """A made-up file asks for terabytes to make its key."""
    octets = bytearray(sealed(ENTRIES))
    octets[len(archive.MAGIC) + len(archive.VERSION)] = 63
    with pytest.raises(GatepostError, match=r"2\^63 steps"):
        list(opened(bytes(octets)))


def test_short_passphrase() -> None:
    """Eight letters are guessed in an afternoon."""
    with pytest.raises(ConfigError, match="shorter than 12"):
        archive.fit("hunter22  \n")
    assert archive.fit(" correct horse battery\n") == SECRET
