"""S/MIME in winmail.dat: what Exchange does to signed and encrypted mail."""

from __future__ import annotations

import base64

import pytest
from tests.unit.smime.letters import BODY, HEADER, decrypt, encrypt, octets, sign, verify
from tests.unit.tnef.test_container import attribute, listed, stream

from gatepost.mail.content import Octets, join
from gatepost.mime import headers
from gatepost.mime.transfer import encode_base64
from gatepost.smime import outlook
from gatepost.smime.report import Verdict
from gatepost.tnef import mapi

OUTSIDE = HEADER.partition(b"MIME-Version")[0] + b"MIME-Version: 1.0\r\n"
TNEF = b'Content-Type: application/ms-tnef; name="winmail.dat"\r\n'
TNEF += b"Content-Transfer-Encoding: base64\r\n"


def attachment(data: bytes, kind: bytes, name: bytes = b"SMIME.p7m") -> bytes:
    """An attachment in TNEF."""
    properties = listed((0x001E, mapi.ATTACH_LONG_NAME, name), (0x001E, mapi.ATTACH_MIME, kind))
    return b"".join(
        (
            attribute(2, 0x9002, bytes(14)),
            attribute(2, 0x800F, data),
            attribute(2, 0x9005, properties),
        )
    )


CLASS = attribute(1, 0x8008, b"IPM.Note.SMIME.MultipartSigned\0")


def clear() -> bytes:
    """A clear-signed entity as an attachment."""
    header, body = sign()
    kind = headers.first(header, "Content-Type")
    assert kind is not None
    return attachment(kind.raw + b"\r\n" + join(body), b"multipart/signed")


def packed(*attributes: bytes) -> tuple[bytes, Octets]:
    """A message that is nothing but winmail.dat."""
    return OUTSIDE + TNEF, Octets(encode_base64(stream(CLASS, *attributes)))


def test_a_clear_signature_comes_out_whole() -> None:
    """Alice's signed mail arrives as an attachment nobody can open."""
    found = outlook.unwrapped(*packed(clear()))

    assert found is not None
    report = verify(*found).report
    assert report.verdict is Verdict.VALID
    assert b"Subject: Offer" in found[0]
    assert b"tnef" not in octets(found)


def test_an_encrypted_mail_comes_out() -> None:
    """Bob's key is never asked."""
    cms = base64.b64decode(join(encrypt()[1]))
    found = outlook.unwrapped(*packed(attachment(cms, b"application/pkcs7-mime\0")))

    assert found is not None
    assert join(decrypt(*found).body) == BODY


@pytest.mark.parametrize(("text", "works"), [(b"\r\n", True), (b"Pay at once.\r\n", False)])
def test_nothing_may_stand_beside_it(text: bytes, works: bool) -> None:
    """A sentence beside the stream is shown under Alice's signature."""
    header = OUTSIDE + b'Content-Type: multipart/mixed; boundary="m"\r\n'
    whole = b"--m\r\nContent-Type: text/plain\r\n\r\n" + text + b"--m\r\n" + TNEF + b"\r\n"
    whole += encode_base64(stream(CLASS, clear())) + b"--m--\r\n"

    assert (outlook.unwrapped(header, Octets(whole)) is not None) is works


def test_nothing_may_stand_in_it_either() -> None:
    """A second attachment or a text in the stream is shown as signed."""
    other = attachment(b"invoice", b"application/pdf", b"invoice.pdf")
    text = attribute(1, 0x800C, b"Pay at once.\0")

    assert outlook.unwrapped(*packed(clear(), other)) is None
    assert outlook.unwrapped(*packed(text, clear())) is None
    assert outlook.unwrapped(*packed(other)) is None


def test_other_mail_is_left() -> None:
    """Every mail is searched, or a broken stream stops one."""
    assert outlook.unwrapped(HEADER, Octets(BODY)) is None
    assert outlook.unwrapped(OUTSIDE + TNEF, Octets(b"broken")) is None
    mixed = OUTSIDE + b'Content-Type: multipart/mixed; boundary="m"\r\n'
    assert outlook.unwrapped(mixed, Octets(b"--m\r\n\r\nwinmail.dat\r\n--m--\r\n")) is None
