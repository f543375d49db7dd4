"""What is signed verifies, what is encrypted comes back, and nothing changed is accepted."""

from __future__ import annotations

import base64

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.unit.smime.letters import HEADER, decrypt, encrypt, octets, sign, verify

from gatepost.errors import GatepostError
from gatepost.mail.content import Octets, join
from gatepost.mime import canonical, entity
from gatepost.mime import headers as mime
from gatepost.mime.transfer import encode_base64
from gatepost.smime import layers
from gatepost.smime.protection import Protection
from gatepost.smime.report import Verdict
from gatepost.smime.sign import Form

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=200).map(
    lambda text: text.encode()
)
LINES = st.lists(TEXTS, max_size=8).map(lambda lines: b"".join(line + b"\r\n" for line in lines))
BODIES = st.one_of(LINES, st.binary(max_size=400))
TYPES = st.sampled_from(
    [
        b"text/plain; charset=utf-8",
        b"text/html",
        b"application/octet-stream; name=x.bin",
        b"multipart/mixed; boundary=in",
        b"message/rfc822",
    ]
)
ENCODINGS = st.sampled_from([b"", b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable"])
FORMS: st.SearchStrategy[Form] = st.sampled_from(["clear", "opaque"])


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """A message header with some description of its body."""
    made = b"From: alice@example.com\r\nTo: bob@example.net\r\nSubject: x\r\n"
    made += b"MIME-Version: 1.0\r\nContent-Type: " + draw(TYPES) + b"\r\n"
    encoding = draw(ENCODINGS)
    return made + (b"Content-Transfer-Encoding: " + encoding + b"\r\n" if encoding else b"")


@settings(max_examples=150, deadline=None)
@given(headers(), BODIES, FORMS)
def test_what_is_signed_verifies(header: bytes, body: bytes, form: Form) -> None:
    """Whatever an author writes, the reader sees a good signature over 7-bit octets."""
    message = sign(header, body, form=form)

    assert canonical.is_seven_bit(Octets(octets(message)))
    assert verify(*message).report.verdict is Verdict.VALID


@settings(max_examples=150, deadline=None)
@given(headers(), LINES, st.sampled_from(["aes256-gcm", "aes128-cbc"]))
def test_what_is_encrypted_comes_back(header: bytes, body: bytes, cipher: str) -> None:
    """Octet for octet, whatever it is."""
    opened = decrypt(*encrypt(header, body, cipher=cipher))

    assert opened.header == header
    assert join(opened.body) == body or layers.outermost(header, body) is not None or b"\r" in body


@settings(max_examples=100, deadline=None)
@given(headers(), LINES, FORMS)
def test_signed_then_encrypted_comes_back(header: bytes, body: bytes, form: Form) -> None:
    """Both layers together lose nothing."""
    opened = decrypt(*encrypt(*sign(header, body, form=form)))

    assert verify(opened.header, opened.body).report.verdict is Verdict.VALID


VALUES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1).map(
    lambda text: " ".join(text[at : at + 20] for at in range(0, len(text), 20)).encode()
)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.booleans(), BODIES, st.booleans())
def test_protected_fields_come_back(subject: bytes, hides: bool, body: bytes, sealed: bool) -> None:
    """Any Subject over any text, hidden or not, signed or only encrypted."""
    header = HEADER.replace(b"Offer", subject).replace(b"us-ascii", b"utf-8")
    protect = Protection(encrypted=True, hides=hides)
    if sealed:
        made = encrypt(header, body, protect=protect)
        fields, text = (found := decrypt(*made)).header, join(found.body)
    else:
        made = sign(header, body, protect=protect)
        checked = verify(*made, keep_signature=False)
        assert checked.report.verdict is Verdict.VALID
        fields, text = checked.header, join(checked.body)

    first, second = mime.first(header, "Subject"), mime.first(fields, "Subject")
    assert first is not None
    assert second is not None
    assert second.text.split() == first.text.split()
    assert b"HP-Outer" not in fields
    assert b"hp=" not in fields
    if body.isascii() and canonical.is_seven_bit(Octets(body)):
        # a copy of a Subject that is not ASCII makes the text one that has to be encoded
        assert entity.decoded(entity.parse(fields + b"\r\n" + text)) == body


CLEAR_HEADER, CLEAR = sign()
CLEAR_BODY = join(CLEAR)
PART = slice(CLEAR_BODY.index(b"Content-Type: text"), CLEAR_BODY.rindex(b"\r\n--=_token1\r\n"))


@settings(max_examples=300, deadline=None)
@given(st.integers(PART.start, PART.stop - 1), st.integers(1, 255))
def test_no_changed_octet_of_a_signed_part_is_accepted(place: int, change: int) -> None:
    """Any bit anywhere in what Alice signed."""
    changed = bytearray(CLEAR_BODY)
    changed[place] ^= change
    assume(canonical.crlf(bytes(changed)) != CLEAR_BODY)
    try:
        report = verify(CLEAR_HEADER, bytes(changed)).report
    except GatepostError:
        return
    assert report.verdict in (Verdict.INVALID, Verdict.UNSIGNED)


GCM_HEADER, GCM_BODY = encrypt(HEADER, b"text\r\n" * 20)
GCM = base64.b64decode(join(GCM_BODY))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GCM) - 1), st.integers(1, 255))
def test_no_changed_octet_of_a_gcm_message_changes_its_text(place: int, change: int) -> None:
    """Either nothing comes out, or exactly what Alice wrote."""
    changed = bytearray(GCM)
    changed[place] ^= change
    try:
        opened = decrypt(GCM_HEADER, encode_base64(bytes(changed)))
    except GatepostError:
        return
    assert join(opened.body) == b"text\r\n" * 20
