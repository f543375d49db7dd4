"""Verifying: intact, valid, trusted and the author's are four different things."""

import base64
from datetime import timedelta

import pytest
from tests import pki_builder
from tests.unit.smime.letters import (
    ALICE,
    ANCHORS,
    BODY,
    HEADER,
    NOBODY,
    NOW,
    alice,
    bob,
    names,
    sign,
    verify,
)

from gatepost.cms import attributes, content, der, signed
from gatepost.errors import Malformed, Unsupported
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.mime.transfer import encode_base64
from gatepost.smime import sign as signing
from gatepost.smime.report import SignatureReport, Verdict
from gatepost.smime.sign import Form

FORMS: tuple[Form, ...] = ("clear", "opaque")


def words(report: SignatureReport) -> str:
    """All reasons in one string."""
    return "; ".join(report.all_reasons)


@pytest.mark.parametrize("form", FORMS)
def test_a_good_signature(form: Form) -> None:
    """The case everybody waits for: Alice signed it, and Bob sees that she did."""
    report = verify(*sign(form=form)).report

    assert report.verdict is Verdict.VALID
    assert (report.intact, report.valid, report.trusted, report.matches) == (True,) * 4
    assert report.emails == ("alice@example.com",)
    assert report.all_reasons == ()


def test_clear_signed_mail_stays_as_it_is() -> None:
    """Bob's own program wants to verify once more."""
    header, body = sign()
    after = verify(header, body)

    assert (after.header, join(after.body)) == (header, join(body))


def test_a_clear_signature_can_be_taken_off() -> None:
    """Some archives cannot bear attachments called smime.p7s."""
    after = verify(*sign(), keep_signature=False)

    assert (after.header, join(after.body)) == (HEADER, BODY)


def test_opaque_mail_becomes_readable() -> None:
    """A program without S/MIME shows an opaque message as an attachment only."""
    after = verify(*sign(form="opaque"))

    assert (after.header, join(after.body)) == (HEADER, BODY)


def test_changed_text_is_not_intact() -> None:
    """One digit changed on the way: the whole point of signing."""
    header, body = sign()
    report = verify(header, join(body).replace(b"ten thousand", b"one thousand")).report

    assert report.verdict is Verdict.INVALID
    assert not report.intact
    assert "digest differs" in words(report)


def test_an_unknown_authority_is_not_trusted() -> None:
    """Anyone can make a CA; the signature may be fine and say nothing about the person."""
    report = verify(*sign(), anchors=NOBODY).report

    assert report.verdict is Verdict.VALID_UNTRUSTED
    assert report.valid
    assert not report.trusted


@pytest.mark.parametrize("bound", [False, True])
def test_a_key_that_is_certified_for_two(monkeypatch: pytest.MonkeyPatch, bound: bool) -> None:
    """Mallory's CA certified Alice's key as Mallory's, and nobody could say who signed."""
    if not bound:
        kind = attributes.attribute(attributes.CONTENT_TYPE, der.tlv(0x06, content.DATA))
        monkeypatch.setattr(attributes, "fixed", lambda *_: (kind,))
    one = alice()
    key = "alice@example.com both"
    twin = pki_builder.company().user("mallory@evil.example", kind="p256", key_name=key).certificate
    assert twin.public_key == one.certificate.public_key
    header, body = signing.sign(
        HEADER, Octets(BODY), one.signer, now=NOW, names=names(), extra=[twin]
    )
    report = verify(header, join(body)).report
    assert report.leading is not None
    assert report.leading.bound is bound
    assert report.verdict is (Verdict.VALID if bound else Verdict.INVALID)
    assert ("certified for mallory@evil.example as well" in words(report)) is not bound


def test_another_persons_signature_is_a_mismatch() -> None:
    """Mallory signs as Mallory and writes Alice into From."""
    mallory = pki_builder.user("mallory@example.com", "p256")
    report = verify(*sign(by=mallory)).report

    assert report.verdict is Verdict.MISMATCH
    assert report.trusted
    assert "not for alice@example.com" in words(report)


def test_a_message_without_author_is_a_mismatch() -> None:
    """`From: "alice@example.com" <>` has no address that could match."""
    assert verify(*sign(), author=None).report.verdict is Verdict.MISMATCH


@pytest.mark.parametrize(
    "field",
    [
        b"From: alice@example.com, mallory@evil.example\r\n",
        b"From: mallory@evil.example, alice@example.com\r\n",
        b"From: alice@example.com\r\nFrom: mallory@evil.example\r\n",
        b'From: "mallory@evil.example" <alice@example.com>\r\n',
        b"From: alice@example.com (mallory@evil.example)\r\n",
        b"From: =?utf-8?q?mallory=40evil=2Eexample?= <alice@example.com>\r\n",
    ],
)
def test_several_authors_are_not_vouched_for_by_one(field: bytes) -> None:
    """Readers differ in which author they show; the signature must be good for each of them."""
    header, body = sign(HEADER.replace(b"From: Alice <alice@example.com>\r\n", field))

    report = verify(header, body, author=ALICE).report
    assert report.verdict is Verdict.MISMATCH
    assert "several authors" in words(report)


def test_an_expired_certificate() -> None:
    """Valid when signed, expired since: intact, but no path holds any more."""
    user = pki_builder.company().user(
        "alice@example.com", kind="p256", not_after=NOW + timedelta(days=1)
    )
    message = sign(by=user)
    later = NOW + timedelta(days=30)

    report = verify(*message, moment=later).report
    assert report.verdict is Verdict.VALID_UNTRUSTED
    assert "expired" in words(report)
    assert verify(*sign(by=user, now=later), moment=later).report.verdict is Verdict.INVALID


def test_a_signature_from_the_future_is_invalid() -> None:
    """A signing time next year could hide a certificate that is not valid today."""
    report = verify(*sign(now=NOW + timedelta(days=30))).report

    assert report.verdict is Verdict.INVALID
    assert "future" in words(report)


def test_an_encryption_certificate_cannot_sign() -> None:
    """KeyUsage without digitalSignature: its owner never agreed to be bound by it."""
    user = pki_builder.company().user("alice@example.com", kind="rsa2048", purpose="encrypt")
    report = verify(*sign(by=user)).report

    assert report.verdict is Verdict.INVALID
    assert report.intact
    assert "key usage" in words(report)


def test_lines_changed_to_lf_on_the_way() -> None:
    """A mailbox file stores LF; the CRLF that was signed is put back for the check."""
    header, body = sign()
    report = verify(header.replace(b"\r\n", b"\n"), join(body).replace(b"\r\n", b"\n")).report

    assert report.verdict is Verdict.VALID


def test_raw_lf_signatures_of_careless_programs() -> None:
    """Gpgsm signs a Unix file as it is; over CRLF the signature would fail."""
    part = b"Content-Type: text/plain\n\nhello\n"
    made = signed.sign(Octets(part), [alice().signer], None, detached=True, when=NOW)
    header = (
        b"From: alice@example.com\n"
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\n'
    )
    body = (
        b"--b\n" + part + b"\n--b\nContent-Type: application/pkcs7-signature\n"
        b"Content-Transfer-Encoding: base64\n\n" + encode_base64(join(made)) + b"--b--\n"
    )

    assert verify(header, body).report.verdict is Verdict.VALID


def test_a_signature_with_content_of_its_own() -> None:
    """Johnny, You Are Fired C1: the reader shows part one, the signature is over something else."""
    header, body = sign()
    inside = signed.sign(
        Octets(b"Content-Type: text/plain\r\n\r\nsomething else\r\n"),
        [alice().signer],
        None,
        detached=False,
        when=NOW,
    )
    before, _, rest = join(body).rpartition(b'filename="smime.p7s"\r\n\r\n')
    swapped = before + b'filename="smime.p7s"\r\n\r\n' + encode_base64(join(inside))
    report = verify(header, swapped + b"\r\n--=_token1--\r\n").report

    assert rest
    assert report.verdict is Verdict.INVALID
    assert "content of its own" in words(report)


def test_no_signer_is_not_a_signature() -> None:
    """Certificates only: nothing was signed, whatever the media type says."""
    header, body = sign()
    made = signed.sign(Octets(b""), [], None, detached=True, when=NOW)
    before = join(body).rpartition(b'filename="smime.p7s"\r\n\r\n')[0]
    report = verify(
        header,
        before + b'filename="smime.p7s"\r\n\r\n' + encode_base64(join(made)) + b"\r\n--=_token1--",
    ).report

    assert report.verdict is Verdict.UNSIGNED
    assert not report.intact


def two_signers(*, broken: bool) -> tuple[bytes, bytes]:
    """An opaque message signed by Alice and Bob; Bob's signature may be broken."""
    entity = b"Content-Type: text/plain\r\n\r\nhello\r\n"
    signers = [alice().signer, bob().signer]
    made = join(signed.sign(Octets(entity), signers, None, detached=False, when=NOW))
    if broken:
        infos = signed.parse(made).signers
        forged = next(one for one in infos if one.certificate_id.names(bob().certificate))
        last = bytes([forged.signature[-1] ^ 1])
        made = made.replace(forged.signature, forged.signature[:-1] + last)
    header = (
        b"From: alice@example.com\r\nContent-Type: application/pkcs7-mime;"
        b" smime-type=signed-data\r\nContent-Transfer-Encoding: base64\r\n"
    )
    return header, encode_base64(made)


def test_two_signers_the_author_among_them() -> None:
    """A notary who signs beside Alice does not make her signature worse."""
    report = verify(*two_signers(broken=False)).report

    assert report.verdict is Verdict.VALID
    assert len(report.signers) == 2
    assert report.signer == "alice@example.com"


def test_one_broken_signer_spoils_all() -> None:
    """Johnny, You Are Fired C2: a good signature must not cover for a forged one."""
    report = verify(*two_signers(broken=True)).report

    assert report.verdict is Verdict.INVALID
    assert sorted(signer.intact for signer in report.signers) == [False, True]


def test_a_signer_whose_certificate_is_missing() -> None:
    """Nothing can be checked: neither praise nor blame."""
    entity = b"Content-Type: text/plain\r\n\r\nhello\r\n"
    made = join(signed.sign(Octets(entity), [alice().signer], None, detached=False, when=NOW))
    found = signed.parse(made)
    assert found.certificates
    header = (
        b"From: alice@example.com\r\nContent-Type: application/pkcs7-mime\r\n"
        b"Content-Transfer-Encoding: base64\r\n"
    )
    other = alice().certificate.der.replace(b"alice@example.com", b"malic@example.com")
    number = alice().certificate.x509.serial_number
    size = number.bit_length() // 8 + 1  # as DER has it
    without = made.replace(
        alice().certificate.der,
        other.replace(number.to_bytes(size, "big"), b"\x01" * size),
    )
    report = verify(header, encode_base64(without)).report

    assert report.verdict is Verdict.UNSUPPORTED


def test_plain_mail_has_no_signature() -> None:
    """The caller asked for a signature; silence would be taken for one."""
    with pytest.raises(Unsupported):
        verify(HEADER, BODY)


def test_garbage_in_place_of_a_signature() -> None:
    """A mangled smime.p7s is an error with a name, not a crash."""
    header, body = sign()
    before = join(body).rpartition(b'filename="smime.p7s"\r\n\r\n')[0]
    with pytest.raises(Malformed):
        verify(header, before + b'filename="smime.p7s"\r\n\r\nMAsC\r\n--=_token1--\r\n')


def test_capabilities_and_certificates_are_harvested() -> None:
    """The next mail to Alice can be encrypted because of what this one carried."""
    other = pki_builder.company().user("alice@example.com", kind="rsa2048", purpose="encrypt")
    header, body = signing.sign(
        HEADER,
        Octets(BODY),
        alice().signer,
        now=NOW,
        names=names(),
        capabilities=("aes256-gcm",),
        encryption_certificate=other.certificate,
    )
    report = verify(header, body).report
    leading = report.leading

    assert leading is not None
    assert leading.capabilities == {"aes256-gcm"}
    assert leading.encryption_certificate == other.certificate
    assert other.certificate in report.certificates


def test_base64_of_another_parser_agrees() -> None:
    """What we send must be the DER we made, as any decoder sees it."""
    _, body = sign(form="opaque")

    assert base64.b64decode(join(body))[:1] == b"\x30"


def test_mailbox_case_does_not_matter() -> None:
    """Certificates are issued as Alice@Example.com, mail says alice@example.com."""
    assert verify(*sign(), author=Mailbox("ALICE", "EXAMPLE.COM"), anchors=ANCHORS).report.matches


@pytest.mark.parametrize(
    ("date", "doubted"),
    [
        (b"Mon, 01 Jun 2026 12:00:30 +0000", False),
        (b"Mon, 01 Jun 2026 14:10:00 +0200", False),
        (b"Mon, 01 Jun 2026 18:00:00 +0000", True),
        (b"Thu, 01 Jan 2032 12:00:00 -0000", True),
        (b"yesterday", True),
    ],
)
def test_an_old_signature_under_a_new_date(date: bytes, doubted: bool) -> None:
    """Last year's "I agree", sent again today: good as a signature, worth a word."""
    report = verify(*sign(HEADER + b"Date: " + date + b"\r\n")).report

    assert report.verdict is Verdict.VALID
    assert bool(report.reasons) is doubted
