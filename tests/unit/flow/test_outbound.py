"""Mail that leaves: who gets what, and what is said when it cannot be."""

import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest
from tests.world import (
    MODERN,
    World,
    announcing,
    choice,
    drive,
    facts,
    octets,
    only,
    outgoing,
    person,
    recipients,
    told,
)

from gatepost.cms.enveloped import NoRecipient
from gatepost.errors import KeyUnavailable
from gatepost.flow.decision import Done
from gatepost.flow.fact import CertificateFor, CorrespondentFor, SignerAnswer, SignerFor
from gatepost.flow.outbound import STAGES
from gatepost.flow.verdict import Continue, Defer, Reject
from gatepost.mail.address import Mailbox
from gatepost.mime import headers
from gatepost.pki.choose import Candidate, Choice, Rejection
from gatepost.smime.decrypt import decrypt

ALICE, BOB, CAROL, DAVE = (
    "alice@xyz.example",
    "bob@partner.example",
    "carol@partner.example",
    "dave@other.example",
)
MAIL = f"""From: Alice <{ALICE}>
To: Bob <{BOB}>, {CAROL}
Subject: Figures
Date: Mon, 1 Jun 2026 12:00:00 +0000
Message-ID: <1@xyz.example>

The secret figures.
"""
MANDATORY = '[defaults]\nencrypt = "mandatory"\n'


def test_signs_and_encrypts_to_everybody_named_at_once() -> None:
    """Two recipients who see each other cost two messages, or get none of the protection."""
    outcomes = drive(
        outgoing(MAIL, BOB, CAROL), STAGES, facts(readers=(BOB, CAROL), signers=[ALICE])
    )
    outcome = only(outcomes)
    assert outcome.verdict == Continue()
    assert recipients(outcome) == (BOB, CAROL)
    assert b"secret" not in octets(outcome)
    assert b"Subject: Figures\r\n" in octets(outcome)
    assert {one.done for one in told(outcomes).values()} == {Done.SIGNED_ENCRYPTED}
    opened = decrypt(
        outcome.message.header,
        outcome.message.body,
        [person(CAROL).decryptor],
        entropy=World().context().entropy,
    )
    assert headers.content_type(opened.header).essence == "multipart/signed"


@pytest.mark.parametrize(("setting", "count"), [("any", 1), ("all", 2)])
def test_policy_may_want_every_key_of_a_mailbox(setting: str, count: int) -> None:
    """Whoever reads with two devices finds on one of them that it cannot be opened."""
    phone = "phone@partner.example"  # a second key; whose name it bears is not looked at here
    spare = Candidate(person(phone).certificate)
    second = Rejection(spare.certificate, "usable, but the chosen one is better")
    world = facts(readers=[BOB], signers=[ALICE])
    world[CertificateFor(Mailbox.parse(BOB))] = Choice(
        person(BOB).certificate, (second,), beside=(spare,)
    )
    policy = f'{MANDATORY}certificate = "{setting}"\n'
    outcome = only(drive(outgoing(MAIL, BOB), STAGES, world, policy))
    opened = 0
    for reader in (BOB, phone):
        with suppress(NoRecipient):
            decrypt(
                outcome.message.header,
                outcome.message.body,
                [person(reader).decryptor],
                entropy=World().context().entropy,
            )
            opened += 1
    assert opened == count
    decision = told([outcome])[BOB]
    assert len(decision.rejected) == 2 - count
    said = any(spare.certificate.fingerprint[:16] in one for one in decision.because)
    assert said is (count == 2)


def test_blind_recipients_are_apart_and_unseen() -> None:
    """A recipient learns who else secretly got the mail."""
    mail = MAIL.replace("Subject", f"Bcc: {DAVE}\nSubject")
    message = outgoing(mail, BOB, DAVE, CAROL)
    outcomes = drive(message, STAGES, facts(readers=(BOB, CAROL, DAVE), signers=[ALICE]))
    assert [recipients(one) for one in outcomes] == [(BOB, CAROL), (DAVE,)]
    seen_by_named, seen_by_blind = (one.message for one in outcomes)
    assert DAVE.encode() not in octets(outcomes[0])
    assert b"bcc" not in outcomes[1].message.header.lower()
    with pytest.raises(NoRecipient):
        decrypt(
            seen_by_named.header,
            seen_by_named.body,
            [person(DAVE).decryptor],
            entropy=World().context().entropy,
        )
    assert told(outcomes)[DAVE].apart
    assert not told(outcomes)[BOB].apart
    assert seen_by_blind.envelope.recipients


@pytest.mark.parametrize(
    ("capabilities", "setting", "cipher", "transport"),
    [
        ((MODERN, MODERN), "", "aes256-gcm", "rsa-oaep"),
        ((MODERN, ()), "", "aes256-cbc", "rsa-pkcs1"),
        (((), ()), 'cipher = "aes128-gcm"', "aes128-gcm", "rsa-pkcs1"),
        ((MODERN, MODERN), 'key_transport = "rsa-pkcs1"', "aes256-gcm", "rsa-pkcs1"),
    ],
)
def test_algorithms_are_those_everybody_reads(
    capabilities: tuple[tuple[str, ...], tuple[str, ...]],
    setting: str,
    cipher: str,
    transport: str,
) -> None:
    """A recipient's software cannot open what it was sent."""
    known = facts(
        readers=(BOB, CAROL),
        correspondents={BOB: announcing(*capabilities[0]), CAROL: announcing(*capabilities[1])},
        signers=[ALICE],
    )
    outcomes = drive(outgoing(MAIL, BOB, CAROL), STAGES, known, f"[defaults]\n{setting}\n")
    decision = told(outcomes)[BOB]
    assert (decision.cipher, decision.key_transport) == (cipher, transport)
    assert (b"authEnveloped-data" in octets(outcomes[0])) is cipher.endswith("gcm")


def test_recipients_without_certificate_get_a_signed_copy() -> None:
    """One recipient we cannot encrypt to strips the others of encryption."""
    outcomes = drive(outgoing(MAIL, BOB, CAROL), STAGES, facts(readers=[BOB], signers=[ALICE]))
    assert [recipients(one) for one in outcomes] == [(BOB,), (CAROL,)]
    assert b"secret" not in octets(outcomes[0])
    assert b"secret" in octets(outcomes[1])
    assert told(outcomes)[CAROL].done is Done.SIGNED
    assert "no certificate is known" in told(outcomes)[CAROL].reason


def test_mandatory_without_certificate_refuses_the_whole_mail_naming_the_recipient() -> None:
    """An author believes a mail delivered that was not, or it leaves in clear."""
    known = facts(readers={BOB: choice(BOB), CAROL: choice(CAROL, rejected="expired 2026-02-11")})
    outcome = only(drive(outgoing(MAIL, BOB, CAROL), STAGES, known, MANDATORY))
    assert isinstance(outcome.verdict, Reject)
    assert outcome.verdict.reply.code == 550
    assert outcome.verdict.reply.status == "5.7.1"
    assert CAROL in outcome.verdict.reply.text
    assert "expired 2026-02-11" in outcome.verdict.reply.text
    assert BOB not in outcome.verdict.reply.text
    decisions = told([outcome])
    assert decisions[CAROL].done is decisions[BOB].done is Done.REFUSED
    assert CAROL in decisions[BOB].reason


def test_the_rest_is_delivered_where_policy_says_so() -> None:
    """A setting that promises delivery to the others has no effect."""
    policy = MANDATORY + 'mixed = "deliver-rest"\n'
    outcomes = drive(
        outgoing(MAIL, BOB, CAROL), STAGES, facts(readers=[BOB], signers=[ALICE]), policy
    )
    by = {recipients(one): one.verdict for one in outcomes}
    assert by[BOB,] == Continue()
    refused = by[CAROL,]
    assert isinstance(refused, Reject)
    assert refused.reply.text.startswith(CAROL)


TLS = MANDATORY + 'unencryptable = "verified-tls"\n'


def test_a_verified_connection_instead_of_encryption() -> None:
    """A partner for whom secure transport is enough gets nothing, or gets it over any connection."""
    outcomes = drive(outgoing(MAIL, BOB, CAROL), STAGES, facts(readers=[BOB], signers=[ALICE]), TLS)
    assert [recipients(one) for one in outcomes] == [(BOB,), (CAROL,)]
    assert [one.verdict for one in outcomes] == [Continue(), Continue()]
    assert [one.message.envelope.secure for one in outcomes] == [False, True]
    assert b"secret" not in octets(outcomes[0])
    assert b"secret" in octets(outcomes[1])
    decision = told(outcomes)[CAROL]
    assert decision.done is Done.SIGNED
    assert "no certificate is known" in decision.reason
    assert "verified TLS connection or not at all" in decision.reason


def test_softer_wishes_need_no_verified_connection() -> None:
    """Mail that may leave in clear anyway waits for a certificate its server does not have."""
    policy = '[defaults]\nunencryptable = "verified-tls"\n'
    known = facts(signers=[ALICE])
    assert not only(drive(outgoing(MAIL, BOB), STAGES, known, policy)).message.envelope.secure
    tagged = MAIL.replace("Subject: ", "Subject: [secure] ")
    assert only(drive(outgoing(tagged, BOB), STAGES, known, policy)).message.envelope.secure


@pytest.mark.parametrize(
    "subject",
    [
        "[secure] Figures",
        "Figures [SECURE]",
        "=?utf-8?q?=5Bsecure=5D_Figures?=",
        "[sec\u200bure] Figures",
        "Figures\n [secure]",
    ],
)
def test_a_subject_tag_makes_encryption_mandatory_and_goes(subject: str) -> None:
    """An author asks for encryption and his mail leaves in clear."""
    mail = MAIL.replace("Figures", subject)
    assert isinstance(only(drive(outgoing(mail, BOB), STAGES, facts())).verdict, Reject)
    outcomes = drive(outgoing(mail, BOB), STAGES, facts(readers=[BOB], signers=[ALICE]))
    sent = headers.first(only(outcomes).message.header, "Subject")
    assert sent is not None
    assert sent.text.strip() == "Figures"
    treatment = told(outcomes)[BOB].treatment
    assert treatment is not None
    assert treatment.origin("encrypt").source == "author"


@pytest.mark.parametrize(
    ("trigger", "field", "expected"),
    [
        ("X-Encrypt", "X-Encrypt: anything", Reject),
        ("Sensitivity: Company-Confidential", "Sensitivity: company-confidential", Reject),
        ("Sensitivity: Company-Confidential", "Sensitivity: Personal", Continue),
    ],
)
def test_a_header_field_makes_encryption_mandatory(
    trigger: str, field: str, expected: type
) -> None:
    """Mail marked confidential leaves in clear."""
    message = outgoing(f"{field}\n{MAIL}", BOB)
    policy = f'[triggers]\nheaders = ["{trigger}"]\n'
    outcome = only(drive(message, STAGES, facts(signers=[ALICE]), policy))
    assert isinstance(outcome.verdict, expected)


SIGNED = """Content-Type: multipart/signed; protocol="application/pkcs7-signature";
 micalg=sha-256; boundary="b"
"""
PGP = """Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="b"

--b
Content-Type: application/pgp-encrypted

Version: 1

--b
Content-Type: application/octet-stream

-----BEGIN PGP MESSAGE-----

hQEMA5
-----END PGP MESSAGE-----
--b--
"""


def _with(content_type: str) -> str:
    head, _, body = MAIL.partition("\n\n")
    field, _, inner = content_type.partition("\n\n")
    return f"{head}\n{field.strip()}\n\n{inner or body}"


def test_what_its_author_encrypted_passes_untouched() -> None:
    """A mail is encrypted twice, and the recipient's software shows an attachment."""
    first = only(drive(outgoing(MAIL, BOB), STAGES, facts(readers=[BOB], signers=[ALICE])))
    for content in (octets(first), _with(PGP)):
        again = outgoing(content, BOB)
        world = World.under(MANDATORY, facts(readers=[BOB], signers=[ALICE]))
        outcome = only(world.drive(again, STAGES))
        assert outcome.verdict == Continue()
        assert outcome.message.body == again.body
        assert told([outcome])[BOB].done is Done.UNCHANGED
        assert world.asked == []


@pytest.mark.parametrize(
    "content_type",
    [
        'Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"',
        'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="b"',
        'Content-Type: application/octet-stream; name="smime.p7m"',
    ],
)
def test_a_label_alone_exempts_nothing(content_type: str) -> None:
    """Clear text leaves because a header field claims it is encrypted."""
    message = outgoing(_with(content_type), BOB)
    assert isinstance(only(drive(message, STAGES, facts(), MANDATORY)).verdict, Reject)


def test_what_its_author_signed_is_only_encrypted() -> None:
    """A second signature hides the author's own."""
    message = outgoing(_with(SIGNED), BOB)
    world = World.under("", facts(readers=[BOB], signers=[ALICE]))
    outcome = only(world.drive(message, STAGES))
    assert told([outcome])[BOB].done is Done.ENCRYPTED
    assert SignerFor(Mailbox.parse(ALICE)) not in world.asked


def test_a_message_under_the_null_path_is_unsigned_but_encrypted() -> None:
    """A bounce returns in clear what had arrived encrypted, or an address is enrolled for it."""
    message = outgoing(MAIL.replace(ALICE, "mailer-daemon@xyz.example"), BOB, sender=None)
    world = World.under("", facts(readers=[BOB]))
    outcome = only(world.drive(message, STAGES))
    assert told([outcome])[BOB].done is Done.ENCRYPTED
    bob = Mailbox.parse(BOB)
    assert set(world.asked) == {CertificateFor(bob), CorrespondentFor(bob)}


@pytest.mark.parametrize(
    ("author", "why"),
    [
        ("stranger@other.example", "not in a domain of ours"),
        (f"{ALICE}\nFrom: {BOB}", "exactly one author"),
        (f"{ALICE}, {BOB}", "exactly one author"),
    ],
)
def test_nobody_signs_for_strangers(author: str, why: str) -> None:
    """Our key vouches for somebody else's words."""
    message = outgoing(MAIL.replace(f"Alice <{ALICE}>", author), BOB)
    world = World.under("", facts(signers=[ALICE]))
    outcome = only(world.drive(message, STAGES))
    assert told([outcome])[BOB].done is Done.CLEAR
    assert why in told([outcome])[BOB].reason


def test_nobody_signs_what_an_alias_forwards() -> None:
    """A stranger would write to an alias that leads outside and have us vouch for our director."""
    message = outgoing(MAIL, BOB, sender="eve@elsewhere.example")
    outcome = only(World.under("", facts(signers=[ALICE])).drive(message, STAGES))
    assert told([outcome])[BOB].done is Done.CLEAR
    assert "it was forwarded" in told([outcome])[BOB].reason


def test_no_key_to_sign_with_defers_or_delivers_as_set() -> None:
    """Mail leaves unsigned although policy says always."""
    message = outgoing(MAIL, BOB)
    outcome = only(drive(message, STAGES, facts()))
    assert isinstance(outcome.verdict, Defer)
    assert outcome.verdict.reply.code == 451
    outcome = only(drive(message, STAGES, facts(), '[defaults]\nunsigned = "deliver"\n'))
    assert outcome.verdict == Continue()
    assert "nobody by that name" in told([outcome])[BOB].reason


class LockedSigner:
    """A signer whose vault is locked."""

    certificate = person(ALICE).certificate
    chain = ()

    def sign(self, data: bytes, scheme: object) -> bytes:
        """Refuse."""
        raise KeyUnavailable("the vault is locked")


def test_a_locked_vault_defers() -> None:
    """Mail is bounced, or leaves unsigned, while an administrator unlocks the vault."""
    known = facts(readers=[BOB])
    known[SignerFor(Mailbox.parse(ALICE))] = SignerAnswer(LockedSigner())
    outcome = only(drive(outgoing(MAIL, BOB), STAGES, known))
    assert isinstance(outcome.verdict, Defer)
    assert "vault" not in outcome.verdict.reply.text
    assert told([outcome])[BOB].done is Done.DEFERRED
    assert "vault" in told([outcome])[BOB].reason


def test_neither_signed_nor_encrypted_leaves_every_octet() -> None:
    """A relay that need not touch a mail breaks its author's DKIM signature."""
    message = outgoing(MAIL, BOB)
    policy = '[defaults]\nsign = "never"\nencrypt = "never"\n'
    world = World.under(policy)
    outcome = only(world.drive(message, STAGES))
    assert octets(outcome).endswith(message.header + b"\r\nThe secret figures.\r\n")
    assert octets(outcome).startswith(b"Received: from mail.xyz.example ([192.0.2.1])")
    assert world.asked == []


def test_a_loop_ends() -> None:
    """Two servers send a mail to and fro until a disk is full."""
    hops = "Received: from a by b; Mon, 1 Jun 2026 12:00:00 +0000\n" * 51
    outcome = only(drive(outgoing(hops + MAIL, BOB), STAGES, facts()))
    assert isinstance(outcome.verdict, Reject)
    assert outcome.verdict.reply.status == "5.4.6"
    ours = "Received: from a by Gate.xyz.example with ESMTP; Mon, 1 Jun 2026 12:00:00 +0000\n" * 7
    outcome = only(drive(outgoing(ours + MAIL, BOB), STAGES, facts()))
    assert isinstance(outcome.verdict, Reject)


def test_settings_for_signatures_are_obeyed() -> None:
    """A partner who demands PSS or opaque signatures gets what he cannot read."""
    policy = '[defaults]\nencrypt = "never"\nform = "opaque"\nsignature = "rsa-pss"\n'
    outcome = only(drive(outgoing(MAIL, BOB), STAGES, facts(signers=[ALICE]), policy))
    assert b"smime-type=signed-data" in octets(outcome)
    decision = told([outcome])[BOB]
    assert (decision.form, decision.signature) == ("opaque", "rsa-pss sha256")


@dataclass(frozen=True)
class Long:
    """A body that is computed while it is read."""

    lines: int

    @property
    def size(self) -> int:
        """Octets in all."""
        return self.lines * 78

    def chunks(self) -> Iterator[bytes]:
        """Lines of text, a thousand at a time."""
        for _ in range(self.lines // 1000):
            yield (b"x" * 76 + b"\r\n") * 1000


@pytest.mark.parametrize("cipher", ["aes256-gcm", "aes256-cbc"])
@pytest.mark.parametrize("sign", ["never", "always"])
def test_a_large_body_is_never_whole_in_memory(cipher: str, sign: str) -> None:
    """Five large mails at a time exhaust the memory of the gateway."""
    body = Long(200_000)
    message = replace(outgoing(MAIL, BOB), body=body)
    policy = f'[defaults]\ncipher = "{cipher}"\nsign = "{sign}"\n'
    known = facts(readers=[BOB], signers=[ALICE])
    tracemalloc.start()
    try:
        outcome = only(drive(message, STAGES, known, policy))
        size = sum(map(len, outcome.message.body.chunks()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcome.verdict == Continue()
    assert size == outcome.message.body.size > body.size
    assert peak < body.size / 4


def test_too_many_large_copies_are_refused_at_once() -> None:
    """Signing and encrypting them would outlast the client's patience, which then sends again."""
    blind = [f"p{number}@partner.example" for number in range(40)]
    message = replace(outgoing(MAIL, BOB, *blind), body=Long(400_000))
    known = facts(readers=[BOB, *blind], signers=[ALICE])
    outcome = only(drive(message, STAGES, known))
    assert isinstance(outcome.verdict, Reject)
    assert (outcome.verdict.reply.code, outcome.verdict.reply.status) == (552, "5.3.4")
