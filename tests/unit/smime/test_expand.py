"""Compressed mail (RFC 8551 section 3.6)."""

from __future__ import annotations

import base64
import zlib

import pytest
from tests.unit.smime.letters import BODY, HEADER, decrypt, encrypt, octets, sign, verify

from gatepost.cms import der
from gatepost.errors import GatepostError, Unsupported
from gatepost.mail.content import Content, Octets, join
from gatepost.mime.entity import split_header
from gatepost.mime.transfer import encode_base64
from gatepost.smime import layers, protection
from gatepost.smime.expand import expand
from gatepost.smime.protection import Protection
from gatepost.smime.report import Verdict
from gatepost.smime.sign import Form

OUTSIDE = HEADER.partition(b"Content-Type")[0]
FIELDS = b"Content-Type: application/pkcs7-mime; smime-type=compressed-data\r\n"
FIELDS += b"Content-Transfer-Encoding: base64\r\n"


def compressed(entity: bytes) -> tuple[bytes, bytes]:
    """A compressed message, as RFC 3274 makes it."""
    inside = der.octet_string(zlib.compress(entity))
    data = der.sequence(
        der.integer(0),
        der.sequence(der.oid("1.2.840.113549.1.9.16.3.8")),
        der.sequence(der.oid("1.2.840.113549.1.7.1"), der.explicit(0, inside)),
    )
    whole = der.sequence(der.oid("1.2.840.113549.1.9.16.1.9"), der.explicit(0, data))
    return OUTSIDE + FIELDS, encode_base64(whole)


def test_it_is_opened() -> None:
    """A partner's compressed mail is an attachment nobody can read."""
    header, body = compressed(b"Content-Type: text/plain\r\n\r\n" + BODY)
    layer = layers.outermost(header, body)
    assert layer is not None
    found = expand(header, layer)

    assert join(found.body) == BODY
    assert found.header == OUTSIDE + b"Content-Type: text/plain\r\n"
    assert found.report.as_data() == {"layer": "compressed-data", "size": 28 + len(BODY)}


def test_a_bomb_is_refused() -> None:
    """A kilobyte becomes a gigabyte."""
    header, body = compressed(bytes(64 * 1024 * 1024))
    layer = layers.outermost(header, body)
    assert layer is not None
    with pytest.raises(GatepostError):
        expand(header, layer)


def test_only_a_whole_compressed_layer_is_opened() -> None:
    """Something else is inflated, or a part put beside clear text."""
    header, body = split_header(octets((HEADER, Octets(BODY))))
    assert layers.outermost(header, body) is None
    layer = layers.Layer("signed-data", b"")
    with pytest.raises(Unsupported):
        expand(header, layer)


def wrapped(form: Form, protect: Protection) -> tuple[bytes, Content]:
    """A message with protected fields, compressed and then signed, its Subject changed outside."""
    outside, whole = protection.enclosed(HEADER, Octets(BODY), protect)
    header, body = compressed(join(whole))
    outside = outside.replace(b"Offer", b"Changed")
    fields = b"MIME-Version: 1.0\r\n" + header.partition(b"MIME-Version: 1.0\r\n")[2]
    return sign(outside.replace(b"MIME-Version: 1.0\r\n", b"") + fields, body, form=form)


FORMS: tuple[Form, ...] = ("clear", "opaque")


@pytest.mark.parametrize("form", FORMS)
def test_protected_fields_come_out_of_a_signature(form: Form) -> None:
    """A relay's Subject is shown above signed text, though the author's own is inside."""
    found = verify(*wrapped(form, Protection(encrypted=False)), keep_signature=False)

    assert found.report.verdict is Verdict.VALID
    assert found.report.headers is not None
    assert found.report.headers.differing == ("Subject",)
    opened(found.header, join(found.body))


def opened(header: bytes, body: bytes) -> None:
    """What is left of it is the message as it was written."""
    layer = layers.outermost(header, body)
    assert layer is not None
    expanded = expand(header, layer, protected=True)
    assert b"Subject: Offer\r\n" in expanded.header
    assert b"Changed" not in expanded.header
    assert b"hp=" not in expanded.header
    assert join(expanded.body) == BODY


def test_protected_fields_come_out_of_an_envelope() -> None:
    """The Subject stays "[...]" where the text was compressed before it was encrypted."""
    hides = Protection(encrypted=True, hides=True)
    outside, whole = protection.enclosed(HEADER, Octets(BODY), hides)
    _, body = compressed(join(whole))
    found = decrypt(*encrypt(outside + FIELDS, body))

    assert b"Subject: [...]" in outside
    assert found.report.headers is not None
    assert "Subject" in found.report.headers.hidden
    opened(found.header, join(found.body))


def test_a_layer_under_compression_keeps_its_fields() -> None:
    """Fields that another signature covers come out by the word of this one."""
    inner = sign(HEADER.replace(b"Offer", b"Other"), protect=Protection(encrypted=False))
    header, body = compressed(octets(inner).partition(b"MIME-Version: 1.0\r\n")[2])
    assert verify(*sign(header, body)).report.headers is None


def test_compression_that_cannot_be_undone() -> None:
    """A signature over a damaged attachment is no longer judged."""
    header, body = compressed(b"Content-Type: text/plain; hp=clear\r\n\r\n" + BODY)
    found = verify(*sign(header, encode_base64(base64.b64decode(body)[:-5])))
    assert found.report.verdict is Verdict.VALID
    assert found.report.headers is None
