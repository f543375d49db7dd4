"""Boxes and sealed files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.errors import GatepostError, KeyUnavailable
from gatepost.vault.kek import Kek
from gatepost.vault.seal import OVERHEAD, SealBroken, Sealer
from gatepost.vault.stream import CHUNK, HEADER

KEK = Kek(bytes(range(32)))


@given(data=st.binary(max_size=500), aad=st.binary(max_size=40))
def test_unseal_gives_back_what_was_sealed(data: bytes, aad: bytes) -> None:
    """Every stored key and mail would be lost."""
    box = Sealer(KEK, "test").seal(data, aad)
    assert len(box) == len(data) + OVERHEAD
    assert Sealer(KEK, "test").unseal(box, aad) == data


def test_every_altered_octet_is_noticed() -> None:
    """Somebody with the disk could change a key or a queued mail unseen."""
    sealer = Sealer(KEK, "test")
    box = sealer.seal(b"secret", b"place")
    for position in range(len(box)):
        altered = box[:position] + bytes((box[position] ^ 1,)) + box[position + 1 :]
        with pytest.raises(GatepostError):
            sealer.unseal(altered, b"place")
    for length in range(len(box)):
        with pytest.raises(SealBroken):
            sealer.unseal(box[:length], b"place")


def test_a_box_opens_only_where_it_belongs() -> None:
    """A sealed key could be swapped for another user's by copying a row."""
    box = Sealer(KEK, "keys").seal(b"secret", b"alice")
    with pytest.raises(SealBroken, match="sealed keys was altered"):
        Sealer(KEK, "keys").unseal(box, b"bob")
    with pytest.raises(SealBroken):
        Sealer(KEK, "spool").unseal(box, b"alice")


def test_another_key_is_named() -> None:
    """An administrator who restored the wrong key file would look for disk errors."""
    box = Sealer(KEK, "keys").seal(b"secret")
    other = Kek(bytes(32))
    with pytest.raises(KeyUnavailable, match=f"{KEK.id.hex()}.*{other.id.hex()}"):
        Sealer(other, "keys").unseal(box)


def test_equal_data_gives_unequal_boxes() -> None:
    """Equal mails would be recognisable on disk, and a nonce would repeat."""
    sealer = Sealer(KEK, "test")
    assert len({sealer.seal(b"same") for _ in range(100)}) == 100


def test_nothing_secret_is_printed() -> None:
    """A traceback in the log would carry the key."""
    assert bytes(range(32)).hex() not in repr(KEK)
    assert "000102" not in repr(KEK) + str(KEK) + repr(Sealer(KEK, "a")) + repr(
        Sealer(KEK, "a").stream()
    )
    assert "\\x00\\x01" not in repr(KEK) + f"{KEK}"


def sealed(data: bytes) -> list[bytes]:
    stream = Sealer(KEK, "spool").stream(b"id")
    pieces = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)] or [b""]
    last = len(pieces) - 1
    return [
        stream.header,
        *(stream.seal_chunk(i, piece, final=i == last) for i, piece in enumerate(pieces)),
    ]


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7])
def test_a_file_comes_back(size: int) -> None:
    """A large mail in the spool, or a backup, could not be read again."""
    data = bytes(i % 251 for i in range(size))
    header, *chunks = sealed(data)
    assert len(header) == HEADER
    stream = Sealer(KEK, "spool").resume(header, b"id")
    last = len(chunks) - 1
    assert data == b"".join(
        stream.unseal_chunk(i, chunk, final=i == last) for i, chunk in enumerate(chunks)
    )


def test_chunks_cannot_be_moved_dropped_or_taken_from_another_file() -> None:
    """A mail's attachment could be replaced by another mail's on disk."""
    header, *chunks = sealed(bytes(2 * CHUNK + 5))
    _, *others = sealed(bytes(2 * CHUNK + 5))
    stream = Sealer(KEK, "spool").resume(header, b"id")
    for index, chunk, final in (
        (0, chunks[1], False),
        (1, chunks[1], True),  # cut short
        (2, chunks[2], False),
        (0, others[0], False),
    ):
        with pytest.raises(SealBroken):
            stream.unseal_chunk(index, chunk, final=final)
    with pytest.raises(SealBroken):
        Sealer(KEK, "spool").resume(header, b"another id").unseal_chunk(0, chunks[0], final=False)


def test_short_chunks_stand_only_at_the_end() -> None:
    """Offsets of later chunks would be wrong."""
    stream = Sealer(KEK, "spool").stream()
    for data, final in ((b"short", False), (bytes(CHUNK + 1), True)):
        with pytest.raises(ValueError, match="chunk 0"):
            stream.seal_chunk(0, data, final=final)
