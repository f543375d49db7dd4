"""Header fields inside what is signed and encrypted (RFC 9788)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.pki_builder import SoftDecryptor
from tests.unit.smime.letters import (
    ALICE,
    ANCHORS,
    BODY,
    HEADER,
    NOBODY,
    NOW,
    Chance,
    alice,
    bob,
    decrypt,
    names,
    octets,
    verify,
)

from gatepost.certificate import Certificate
from gatepost.mail.content import Octets, join
from gatepost.mime import entity, headers
from gatepost.mime.entity import split_header
from gatepost.pki.validate import Anchors
from gatepost.smime import decrypt as opening
from gatepost.smime import encrypt as closing
from gatepost.smime import sign as signing
from gatepost.smime import verify as verifying
from gatepost.smime.protection import Protection
from gatepost.smime.report import Verdict
from gatepost.smime.sign import Form

CLEAR, CIPHER, HIDES = Protection(False), Protection(True), Protection(True, hides=True)
MOVED = HEADER.replace(b"Subject: Offer", b"Subject: Refusal")


def signed(
    protect: Protection = CLEAR, header: bytes = HEADER, body: bytes = BODY, form: Form = "clear"
) -> tuple[bytes, bytes]:
    """A signed message with protected fields."""
    made = signing.sign(
        header, Octets(body), alice().signer, now=NOW, names=names(), form=form, protect=protect
    )
    return made[0], join(made[1])


def sealed(
    protect: Protection = CIPHER, header: bytes = HEADER, body: bytes = BODY
) -> tuple[bytes, bytes]:
    """A signed and encrypted message."""
    return encrypted(*signed(protect, header, body))


def encrypted(header: bytes, body: bytes, protect: Protection | None = None) -> tuple[bytes, bytes]:
    """An encrypted message."""
    certificates = [bob().certificate]
    made = closing.encrypt(
        header,
        Octets(body),
        certificates,
        cipher="aes256-gcm",
        entropy=Chance(),
        protect=protect,
    )
    return made[0], join(made[1])


def read(header: bytes, body: bytes, *, anchors: Anchors = ANCHORS) -> verifying.Verified:
    """Verify, the signature taken off."""
    return verifying.verify(
        header, Octets(body), anchors, NOW, headers.author(header), keep_signature=False
    )


def opened(header: bytes, body: bytes) -> verifying.Verified:
    """Decrypt, then verify."""
    plain = decrypt(header, body)
    return verifying.verify(
        plain.header,
        plain.body,
        ANCHORS,
        NOW,
        headers.author(header),
        keep_signature=False,
        decrypted=True,
    )


def payload(message: tuple[bytes, bytes]) -> bytes:
    """The header of the entity that was signed."""
    return whole(message).children[0].header


def whole(message: tuple[bytes, bytes]) -> entity.Entity:
    """The message as a tree."""
    return entity.parse(octets((message[0], Octets(message[1]))))


@pytest.mark.parametrize("form", ["clear", "opaque"])
def test_what_is_signed_comes_back_octet_by_octet(form: Form) -> None:
    """Protection leaves its traces in what Bob gets."""
    found = read(*signed(form=form))

    assert found.report.verdict is Verdict.VALID
    assert found.header == HEADER
    assert join(found.body) == BODY
    assert found.report.headers is not None
    assert found.report.headers.protected == ("From", "To", "Subject")
    assert found.report.headers.differing == ()


@pytest.mark.parametrize("protect", [CIPHER, HIDES])
def test_what_is_encrypted_comes_back_octet_by_octet(protect: Protection) -> None:
    """The hidden Subject is lost, or the text begins with a copy of it."""
    message = sealed(protect)
    found = opened(*message)

    assert found.header == HEADER
    assert join(found.body) == BODY
    assert found.report.headers is not None
    assert found.report.headers.hidden == (("Subject",) if protect.hides else ())
    assert found.report.headers.differing == ()
    assert (b"Offer" in message[0]) is not protect.hides


def test_encryption_alone_protects_too() -> None:
    """Mail that nobody can sign tells its Subject to everybody."""
    message = encrypted(HEADER, BODY, HIDES)
    found = decrypt(*message)

    assert b"Subject: [...]\r\n" in message[0]
    assert found.header == HEADER
    assert join(found.body) == BODY
    assert found.report.headers is not None
    assert found.report.headers.as_data()["restored"] == ["Subject"]


def test_the_payload_is_as_the_rfc_shows_it() -> None:
    """Readers of the RFC do not recognise what we write."""
    inner = payload(signed(HIDES))

    assert headers.content_type(inner).get("hp") == "cipher"
    assert [one.value for one in headers.every(inner, "HP-Outer")] == [
        b"From: Alice <alice@example.com>",
        b"To: Bob <bob@example.net>",
        b"Subject: [...]",
    ]
    assert headers.content_type(payload(signed())).get("hp") == "clear"
    assert not headers.every(payload(signed()), "HP-Outer")


def test_old_readers_see_the_subject_in_the_text() -> None:
    """Outlook shows "[...]" and nothing else of what the mail is about."""
    first = whole(signed(HIDES)).children[0]

    assert first.content_type.get("hp-legacy-display") == "1"
    assert first.body.startswith(b"Subject: Offer\r\n\r\nDear Bob")


def test_trace_stays_outside() -> None:
    """Names of inner hosts that the border takes out travel inside the signature."""
    traced = b"Received: from pc1 by inner.example\r\nX-Originating-IP: 10.0.0.1\r\n" + HEADER
    header, body = signed(CLEAR, traced)

    assert b"10.0.0.1" in header
    assert b"10.0.0.1" not in body
    assert b"inner.example" not in body


def test_a_changed_subject_is_put_right_and_told() -> None:
    """Somebody on the way turns the offer into a refusal."""
    header, body = signed()
    found = read(header.replace(b"Offer", b"Refusal"), body)

    assert found.header == HEADER
    assert found.report.verdict is Verdict.VALID
    assert found.report.headers is not None
    assert found.report.headers.differing == ("Subject",)
    assert "changed on the way: Subject" in found.report.all_reasons
    assert "Refusal" not in json.dumps(found.report.as_data())  # no Subject in any record


def test_the_header_is_put_right_while_the_signature_stays() -> None:
    """Whoever keeps signatures is shown the forged Subject."""
    header, body = signed()
    found = verify(header.replace(b"Offer", b"Refusal"), body, keep_signature=True)

    assert b"Subject: Offer\r\n" in found.header
    assert join(found.body) == body
    assert verify(found.header, found.body).report.verdict is Verdict.VALID


def test_an_answer_is_not_led_away() -> None:
    """A Reply-To added on the way sends Bob's answer to a stranger."""
    header, body = signed()
    found = read(b"Reply-To: mallory@evil.example\r\n" + header, body)

    assert b"mallory" not in found.header
    assert found.report.headers is not None
    assert found.report.headers.differing == ("Reply-To",)


def test_a_foreign_author_is_not_vouched_for() -> None:
    """Alice's signed mail under Mallory's From, or Mallory's under Alice's, shows "signed"."""
    header, body = signed()
    outer = header.replace(b"Alice <alice@example.com>", b"Mallory <mallory@evil.example>")
    inner = HEADER.replace(b"Alice <alice@example.com>", b"Boss <boss@example.com>")
    again, forged = signed(CLEAR, inner)
    under = again.replace(b"Boss <boss@example.com>", b"Alice <alice@example.com>")

    for message, shown in (((outer, body), b"mallory@evil"), ((under, forged), b"alice@example")):
        found = read(*message)
        assert found.report.verdict is Verdict.MISMATCH
        assert shown in found.header
        assert any("the From inside names" in why for why in found.report.all_reasons)


def test_encryption_proves_no_author() -> None:
    """Anybody can encrypt: the From inside must not replace the one that was checked."""
    inner = HEADER.replace(b"Alice <alice@example.com>", b"Boss <boss@example.com>")
    header, body = encrypted(inner, BODY, CIPHER)
    found = decrypt(header.replace(b"boss@example.com", b"mallory@evil.example"), body)

    assert b"mallory@evil.example" in found.header
    assert b"boss@example.com" not in found.header
    assert found.report.headers is not None
    assert found.report.headers.reasons


def test_a_broken_signature_restores_nothing() -> None:
    """An attacker rewrites the Subject with a signature that is none."""
    header, body = signed()
    found = read(
        header.replace(b"Offer", b"Refusal"), body.replace(b"Subject: Offer", b"Subject: X")
    )

    assert found.report.verdict is Verdict.INVALID
    assert b"Subject: Refusal" in found.header
    assert found.report.headers is not None
    assert found.report.headers.restored == ()


def test_only_fields_of_authors_are_restored() -> None:
    """A sealed `X-Spam-Flag: NO` switches off the company's own filter."""
    header, body = encrypted(HEADER, BODY, CIPHER)
    plain = decrypt(header, body)
    inside = plain.inner_header.replace(b"From:", b"X-Spam-Flag: NO\r\nReceived: x\r\nFrom:", 1)
    found = decrypt(*encrypted(*_split(inside + b"\r\n" + BODY)))

    assert b"X-Spam" not in found.header.partition(b"MIME-Version")[2]
    assert b"Received" not in found.header.partition(b"MIME-Version")[2]


def _split(whole: bytes) -> tuple[bytes, bytes]:
    header, body = split_header(whole)
    return header, body


def test_hp_counts_at_the_payload_only() -> None:
    """A part deep inside renames the mail (RFC 9788 section 4.1)."""
    part = b'Content-Type: text/plain; hp="clear"\r\nSubject: Refusal\r\n\r\ntext\r\n'
    header = HEADER.replace(b"text/plain; charset=us-ascii", b"multipart/mixed; boundary=b")
    made = signing.sign(
        header,
        Octets(b"--b\r\n" + part + b"--b--\r\n"),
        alice().signer,
        now=NOW,
        names=names(),
    )
    found = verify(*made, keep_signature=False)

    assert found.report.headers is None
    assert b"Refusal" not in found.header


def test_eight_bit_fields_do_not_force_an_opaque_signature() -> None:
    """A Subject in raw UTF-8 makes the mail unreadable without S/MIME."""
    raw = HEADER.replace(b"Offer", "Größe".encode())
    found = read(*signed(CLEAR, raw))

    assert found.report.kind == "multipart-signed"
    assert found.report.verdict is Verdict.VALID
    assert found.header == raw


@pytest.mark.parametrize(
    "kind",
    [
        b"text/plain",
        b'text/plain; charset="us-ascii"; ',
        b"TEXT/PLAIN; charset=us-ascii (plain)",
        b'text/plain; name="open',
        b"multipart/mixed; boundary=x",
        b"text/plain; hp=clear; charset=us-ascii",
    ],
)
def test_any_content_type_can_be_marked(kind: bytes) -> None:
    """One careless mail program, and the signature carries no mark or two."""
    header = HEADER.replace(b"text/plain; charset=us-ascii", kind)
    message = signed(CIPHER, header)

    assert headers.content_type(payload(message)).get("hp") == "cipher"
    found = headers.content_type(read(*message).header)
    before = dict(headers.content_type(header).parameters)
    before.pop("hp", None)
    assert dict(found.parameters) == before


def test_a_content_type_that_is_none_can_be_marked() -> None:
    """The mark stands where nobody reads it, and the protected Subject is not taken as such."""
    header = HEADER.replace(b"text/plain; charset=us-ascii", b"multi part")
    message = signed(CIPHER, header)

    assert headers.content_type(payload(message)).get("hp") == "cipher"
    assert read(*message).report.headers is not None


# Written by others


def test_rfc_9788_examples(corpus: Path) -> None:
    """The RFC's own messages are not understood (appendix C)."""
    folder = corpus / "rfc9788" / "msg"
    for name in ("smime-one-part-hp", "smime-multipart-hp"):
        header, body = split_header((folder / f"{name}.eml").read_bytes())
        found = lamps(corpus, header, body)
        assert found.report.verdict is Verdict.VALID, found.report.all_reasons
        assert found.report.headers is not None
        assert found.report.headers.scheme == "hp=clear"
        assert found.report.headers.differing == ()


def test_rfc_9788_baseline_example(corpus: Path) -> None:
    """Bob reads "[...]" although the Subject came along."""
    path = corpus / "rfc9788" / "msg" / "enc-smime-signed-enc-hp-baseline.eml"
    header, body = split_header(path.read_bytes())
    keys = corpus / "rfc9216" / "keys"
    (certificate,) = Certificate.from_pem(next(keys.glob("5-3-*.pem")).read_bytes())
    key = load_pem_private_key(next(keys.glob("5-4-*.pem")).read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    plain = opening.decrypt(header, Octets(body), [SoftDecryptor(certificate, key)], Chance())
    found = lamps(corpus, plain.header, join(plain.body), decrypted=True)

    assert found.report.verdict is Verdict.VALID
    assert found.report.headers is not None
    assert found.report.headers.hidden == ("Subject",)
    subject = headers.first(found.header, "Subject")
    assert subject is not None
    assert subject.text == "smime-signed-enc-hp-baseline"


def lamps(
    corpus: Path, header: bytes, body: bytes, *, decrypted: bool = False
) -> verifying.Verified:
    """Verify with the sample authority of RFC 9216."""
    (anchor,) = Certificate.from_pem(
        next((corpus / "rfc9216" / "keys").glob("3-1-*root*.pem")).read_bytes()
    )
    return verifying.verify(
        header,
        Octets(body),
        Anchors(frozenset({anchor})),
        datetime(2021, 3, 1, tzinfo=UTC),
        headers.author(header),
        keep_signature=False,
        decrypted=decrypted,
    )


def test_protected_headers_v1(corpus: Path) -> None:
    """Enigmail's and Thunderbird's older form."""
    path = corpus / "protected-headers" / "msg" / "smime-multipart-signed.eml"
    header, body = split_header(path.read_bytes())
    moved = header.replace(b"FooCorp", b"BarCorp")
    found = verifying.verify(
        moved,
        Octets(body),
        NOBODY,
        datetime(2019, 12, 1, tzinfo=UTC),
        headers.author(header),
        keep_signature=False,
    )

    assert found.report.headers is not None
    assert found.report.headers.scheme == "protected-headers=v1"
    assert found.report.headers.differing == ("Subject",)
    assert b"Subject: The FooCorp contract\r\n" in found.header


WRAPPED = b"Content-Type: message/rfc822; forwarded=no\r\n"


@pytest.mark.parametrize("kind", [WRAPPED, b"Content-Type: message/rfc822\r\n"])
def test_a_wrapped_message_is_unwrapped(kind: bytes) -> None:
    """RFC 8551 section 3.1: Bob gets an attachment instead of the letter."""
    header = b"From: Alice <alice@example.com>\r\nSubject: ...\r\nMIME-Version: 1.0\r\n" + kind
    inner = HEADER + b"\r\n" + BODY
    made = signing.sign(header, Octets(inner), alice().signer, now=NOW, names=names())
    found = verify(*made, keep_signature=False)

    assert found.report.verdict is Verdict.VALID
    assert join(found.body) == BODY
    assert b"Subject: Offer\r\n" in found.header
    assert b"message/rfc822" not in found.header


def test_a_forwarded_message_stays_an_attachment() -> None:
    """What Alice forwards is shown as what Alice wrote."""
    carol = HEADER.replace(b"alice@example.com", b"carol@example.org")
    header = b"From: alice@example.com\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n"
    made = signing.sign(
        header, Octets(carol + b"\r\n" + BODY), alice().signer, now=NOW, names=names()
    )
    found = verify(*made, keep_signature=False, author=ALICE)

    assert found.report.verdict is Verdict.VALID
    assert b"carol" not in found.header
    assert b"message/rfc822" in found.header
