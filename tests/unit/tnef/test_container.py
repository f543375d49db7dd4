"""winmail.dat: what Outlook packs into one attachment for everybody else."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest

from gatepost.errors import LimitExceeded, Malformed
from gatepost.tnef import container, mapi
from gatepost.tnef.cursor import Cursor


def attribute(level: int, identifier: int, data: bytes) -> bytes:
    """One attribute with its checksum."""
    head = struct.pack("<BHHI", level, identifier, 6, len(data))
    return head + data + struct.pack("<H", sum(data) & 0xFFFF)


def listed(*properties: tuple[int, int, bytes]) -> bytes:
    """A property list of variable-size values."""
    made = struct.pack("<I", len(properties))
    for kind, identifier, data in properties:
        made += struct.pack("<HHII", kind, identifier, 1, len(data)) + data + bytes(-len(data) % 4)
    return made


def stream(*attributes: bytes) -> bytes:
    """A TNEF stream."""
    return container.SIGNATURE + b"\x01\x00" + b"".join(attributes)


# Not files: the text that stands in for an embedded message, and the storage of an OLE object.
NO_FILES = {"Untitled Attachment.1", "Untitled Attachment.3", "Untitled_Attachment"}


@pytest.mark.corpus
def test_everything_mimekit_finds(corpus: Path) -> None:
    """An attachment of a partner who uses Exchange is lost or damaged."""
    lost, seen = [], 0
    for line in (corpus / "expected.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["expected"] != "tnef-attachments":
            continue
        found = container.read((corpus / row["file"]).read_bytes())
        have = {hashlib.sha256(form).digest() for one in found.everything() for form in forms(one)}
        for name, digest in row["attachments_sha256"].items():
            if name.startswith("message.") or name in NO_FILES:  # bodies, which we do not read
                continue
            seen += 1
            lost += [] if bytes.fromhex(digest) in have else [f"{row['id']}: {name}"]
    assert seen > 20
    assert lost == []


def forms(one: container.Attachment) -> tuple[bytes, bytes]:
    """Its octets, and as text the way the expectation has it."""
    return one.data, one.data.replace(b"\r\n", b"\n")


def test_names_types_and_class() -> None:
    """An S/MIME message in Exchange's form is not recognised."""
    octets = stream(
        attribute(1, 0x8008, b"IPM.Microsoft Mail.Note\0"),
        attribute(1, 0x800C, b" \r\n\0"),
        attribute(2, 0x9002, bytes(14)),
        attribute(
            2,
            0x9005,
            listed(
                (0x001F, mapi.ATTACH_LONG_NAME, "smime.p7m\0".encode("utf-16-le")),
                (0x001E, mapi.ATTACH_MIME, b"Multipart/Signed\0"),
                (0x0102, mapi.ATTACH_DATA, b"0\x82"),
            ),
        ),
    )
    found = container.read(octets)

    assert found.message_class == "IPM.Microsoft Mail.Note"
    assert not found.has_body
    (one,) = found.attachments
    assert (one.name, one.media_type, one.data) == ("smime.p7m", "multipart/signed", b"0\x82")


MESSAGE = bytes.fromhex("0703020000000000c000000000000046")  # IID_IMessage


def embedded(octets: bytes) -> bytes:
    """An embedded message as an attachment, with the text Outlook puts beside it."""
    properties = listed(
        (0x001E, mapi.DISPLAY_NAME, b"Minutes\0"), (0x000D, mapi.ATTACH_DATA, MESSAGE + octets)
    )
    return b"".join(
        (
            attribute(2, 0x9002, bytes(14)),
            attribute(2, 0x8010, b"Untitled Attachment\0"),
            attribute(2, 0x800F, b"This attachment is a MAPI 1.0 embedded message"),
            attribute(2, 0x9005, properties),
        )
    )


def test_embedded_messages_are_read() -> None:
    """A forwarded message arrives as the sentence that it is not supported."""
    file = attribute(2, 0x9002, bytes(14)) + attribute(2, 0x800F, b"%PDF")
    inner = stream(attribute(1, 0x8008, b"IPM.Note\0"), file)
    (one,) = container.read(stream(embedded(inner))).attachments

    assert (one.name, one.data) == ("Minutes", inner)
    assert one.message is not None
    assert one.message.message_class == "IPM.Note"
    assert [each.data for each in container.read(stream(embedded(inner))).everything()] == [
        inner,
        b"%PDF",
    ]


def test_embedded_messages_end() -> None:
    """A stream in itself a hundred times exhausts the stack."""
    octets = stream()
    for _ in range(100):
        octets = stream(embedded(octets))

    assert len(list(container.read(octets).everything())) == container.MAXIMUM_DEPTH
    (one,) = container.read(stream(embedded(b"no stream"))).attachments
    assert (one.data, one.message) == (b"no stream", None)


def test_a_body_is_seen() -> None:
    """Text beside a signature passes as signed."""
    text = listed((0x001E, mapi.BODY, b"Pay at once.\0"))

    assert container.read(stream(attribute(1, 0x9003, text))).has_body
    assert container.read(stream(attribute(1, 0x800C, b"Pay.\0"))).has_body


def test_hostile_streams_end() -> None:
    """A short stream announces four thousand million of something."""
    many = struct.pack("<I", 0xFFFFFFFF)
    with pytest.raises(Malformed):
        container.read(b"no TNEF")
    with pytest.raises(LimitExceeded):
        mapi.properties(Cursor(many))
    with pytest.raises(LimitExceeded):
        mapi.properties(Cursor(struct.pack("<IHHI", 1, 0x101E, 1, 0xFFFFFFFF)))
    with pytest.raises(Malformed):
        mapi.properties(Cursor(struct.pack("<IHHI", 1, 0x1003, 1, 0xFFFFFFFF)))
    with pytest.raises(Malformed):
        mapi.properties(Cursor(struct.pack("<IHH", 1, 0x0999, 1)))
    with pytest.raises(LimitExceeded):
        container.read(stream(attribute(1, 1, b"") * 10_001))
    with pytest.raises(LimitExceeded):
        container.read(stream(attribute(2, 0x9002, b"") * 1_001))


def test_a_stream_cut_short_gives_what_came_before() -> None:
    """One lost octet loses ten attachments."""
    whole = stream(attribute(2, 0x9002, b""), attribute(2, 0x800F, b"data"))

    assert len(container.read(whole + attribute(2, 0x9002, b"") + b"\x02\x0f").attachments) == 1
    assert len(container.read(whole[:-1]).attachments) == 1
    assert container.read(whole[:-3]).attachments == ()
