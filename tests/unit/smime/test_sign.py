"""Signing: what is sent is what was signed, in a form every relay leaves alone."""

import base64
import email
import email.message
import email.policy

import pytest
from tests import pki_builder
from tests.unit.smime.letters import ANCHORS, BODY, HEADER, NOW, alice, names, octets, sign, verify

from gatepost.cms import signed
from gatepost.cms.capability import SignatureScheme
from gatepost.mail.content import Octets, Rope, join
from gatepost.mime import canonical
from gatepost.smime import sign as signing
from gatepost.smime.report import Verdict
from gatepost.smime.sign import Form

FORMS: tuple[Form, ...] = ("clear", "opaque")


def parsed(message: bytes) -> email.message.EmailMessage:
    """Another parser's view of a message."""
    return email.message_from_bytes(message, policy=email.policy.default)


def test_clear_signed_structure() -> None:
    """A reader without S/MIME shows the text only if the structure is RFC 1847's to the letter."""
    made = sign()
    message = parsed(octets(made))
    first, second = message.iter_parts()

    assert signing.is_clear(made[1])
    assert message.get_content_type() == "multipart/signed"
    assert message.get_param("protocol") == "application/pkcs7-signature"
    assert message.get_param("micalg") == "sha-256"
    assert first.get_content().encode() == BODY
    assert second.get_content_type() == "application/pkcs7-signature"
    assert second.get_filename() == "smime.p7s"
    assert second["Content-Transfer-Encoding"] == "base64"
    assert message["Subject"] == "Offer"
    assert first["Subject"] is None


def test_opaque_structure() -> None:
    """Outlook and Exchange look at smime-type before they look inside."""
    made = sign(form="opaque")
    message = parsed(octets(made))

    assert not signing.is_clear(made[1])
    assert message.get_content_type() == "application/pkcs7-mime"
    assert message.get_param("smime-type") == "signed-data"
    assert message.get_param("name") == message.get_filename() == "smime.p7m"


@pytest.mark.parametrize(
    ("kind", "scheme", "micalg"),
    [
        ("rsa2048", None, "sha-256"),
        ("rsa2048", SignatureScheme("rsa-pkcs1", "sha384"), "sha-384"),
        ("rsa2048", SignatureScheme("rsa-pss", "sha512"), "sha-512"),
        ("p256", None, "sha-256"),
        ("p384", None, "sha-384"),
        ("p521", None, "sha-512"),
        ("ed25519", None, "sha-512"),
    ],
)
def test_micalg_names_the_digest(
    kind: pki_builder.KeyKind, scheme: SignatureScheme | None, micalg: str
) -> None:
    """A one-pass reader hashes with micalg's digest; another one fails every signature."""
    user = pki_builder.user("alice@example.com", kind)
    header, body = sign(by=user, scheme=scheme)

    assert parsed(octets((header, body))).get_param("micalg") == micalg
    assert verify(header, body).report.verdict is Verdict.VALID


@pytest.mark.parametrize("form", FORMS)
def test_eight_bit_text_is_encoded_before_signing(form: Form) -> None:
    """A relay without 8BITMIME re-encodes the text and the signature dies."""
    header = HEADER.replace(b"us-ascii", b"utf-8") + b"Content-Transfer-Encoding: 8bit\r\n"
    message = sign(header, "Grüße aus Köln\r\n".encode(), form=form)

    assert canonical.is_seven_bit(Octets(octets(message)))
    after = verify(*message, keep_signature=False)
    assert after.report.verdict is Verdict.VALID
    text = parsed(octets((after.header, after.body))).get_content()
    assert text == "Grüße aus Köln\r\n"


def test_a_seven_bit_entity_is_not_touched() -> None:
    """Encoding what needs none would change the octets of every DKIM-signed newsletter."""
    _, body = sign()

    assert b"\r\n\r\n" + BODY + b"\r\n--=_token1\r\n" in join(body)


def test_the_entity_is_never_copied() -> None:
    """A copy of a 100 MiB mail for each layer would exhaust the memory."""
    body = Octets(b"x" * 70 + b"\r\n")
    _, made = signing.sign(HEADER, body, alice().signer, now=NOW, names=names())

    assert isinstance(made, Rope)
    whole = made.parts[1]
    assert isinstance(whole, Rope)
    assert whole.parts[1] is body


def test_an_eight_bit_signed_part_is_signed_around_opaquely() -> None:
    """Re-encoding inside a signature of somebody else destroys it; sending it 8-bit clear, too."""
    inner = (
        b"--in\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
        b"\r\n" + "schön".encode() + b"\r\n--in\r\n"
        b"Content-Type: application/pkcs7-signature\r\n\r\nMII=\r\n--in--\r\n"
    )
    header = HEADER.replace(
        b"text/plain; charset=us-ascii",
        b'multipart/signed; protocol="application/pkcs7-signature"; boundary=in',
    )

    made = sign(header, inner, form="clear")

    assert b"smime-type=signed-data" in made[0]
    assert not signing.is_clear(made[1])
    assert inner in (signed.parse(base64.b64decode(join(made[1]))).content or b"")


def test_lines_end_crlf_when_signed() -> None:
    """A file from disk ends its lines LF; its signature must survive the journey as CRLF."""
    header, body = sign(HEADER, b"one\ntwo\n")

    assert join(body).count(b"\n") == join(body).count(b"\r\n")
    assert verify(header, body).report.verdict is Verdict.VALID


def test_an_empty_body_can_be_signed() -> None:
    """Calendar programs send empty bodies; refusing one loses the mail."""
    for form in FORMS:
        after = verify(*sign(HEADER, b"", form=form), keep_signature=False)
        assert after.report.verdict is Verdict.VALID
        assert join(after.body) == b""


def test_the_chain_travels_with_the_signature() -> None:
    """A reader that knows only the root cannot find the issuing CA by itself."""
    header, body = sign()

    report = verify(header, body, anchors=ANCHORS).report
    assert pki_builder.company().certificate in report.certificates


def test_golden_pkcs1_signature_is_stable() -> None:
    """RSA PKCS #1 v1.5 has no chance in it: two runs that differ would mean a hidden clock."""
    user = pki_builder.user("alice@example.com", "rsa2048")

    assert octets(sign(by=user)) == octets(sign(by=user))
