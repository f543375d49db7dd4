"""A mail of the corpus through the stages of arriving mail, as in the gateway."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast

from tests.conformance.entry import Entry
from tests.conformance.material import certificates, decryptors, evidence
from tests.conformance.seen import Seen
from tests.world import World, incoming, octets

from gatepost.cms.capability import Decryptor
from gatepost.flow import inbound
from gatepost.flow.fact import (
    AnchorsFor,
    Answer,
    CertificateFor,
    ChallengeFor,
    CorrespondentFor,
    DecryptorsFor,
    Fact,
    IssuersOf,
    RevocationOf,
    SignerFor,
    SignersOf,
)
from gatepost.flow.peel import SealedReport
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.mail.message import Message
from gatepost.mime import entity, headers
from gatepost.pki.validate import Anchors
from gatepost.policy.rules import InboundPolicy, Policy
from gatepost.smime.report import EncryptionReport, ErrantReport, SignatureReport

TODAY = datetime(2026, 3, 1, tzinfo=UTC)  # the Thunderbird set's certificates are good then
READER = "reader@xyz.example"


class _Surroundings(World):
    """Everybody's questions are answered with the entry's keys and anchors.

    Whoever has signed without his certificate is looked for among the keys' certificates.
    """

    @property
    def openers(self) -> tuple[Decryptor, ...]:
        """Every key of the entry."""
        found = self.facts[DecryptorsFor(_reader())]
        assert isinstance(found, tuple)
        return cast("tuple[Decryptor, ...]", found)

    def answer(self, fact: Fact) -> Answer:
        match fact:
            case AnchorsFor():
                return self.facts[AnchorsFor("")]
            case DecryptorsFor():
                return self.openers
            case SignersOf():
                return self.facts[SignersOf(_reader())]
            case (
                CertificateFor()
                | ChallengeFor()
                | CorrespondentFor()
                | SignerFor()
                | RevocationOf()
                | IssuersOf()
            ):
                return super().answer(fact)


def _reader() -> Mailbox:
    return Mailbox.parse(READER)


def arrive(entry: Entry, content: bytes) -> Seen:
    """Deliver it and collect the findings."""
    message = _received(content.removeprefix(b"POST / HTTP/1.1\r\n"))  # AS2
    seen = _arrived(entry, message, moment(entry, message))
    times = [one.signing_time for found in seen.signatures for one in found.signers]
    signed_at = max((one for one in times if one is not None), default=None)
    if signed_at is not None and _by_signing_time(entry, message, signed_at):
        return _arrived(entry, message, signed_at)
    return seen


def _received(content: bytes) -> Message:
    """The mail as SMTP brings it: files with LF get CRLF, those with CRLF stay as they are."""
    message = incoming(content, READER)
    if not content.partition(b"\n")[0].endswith(b"\r"):
        return message
    header, body = entity.split_header(content)
    return replace(message, header=header, body=Octets(body))


def _by_signing_time(entry: Entry, message: Message, signed_at: datetime) -> bool:
    """A mail arrives after it was signed, whatever its Date says."""
    if entry.text("validation_time") == "signingTime":
        return True
    return not entry.text("validation_time") and signed_at > moment(entry, message)


def _arrived(entry: Entry, message: Message, now: datetime) -> Seen:
    known: dict[Fact, Answer] = {
        AnchorsFor(""): anchors(entry),
        DecryptorsFor(_reader()): decryptors(entry.keys, entry.text("key_password")),
        SignersOf(_reader()): certificates(entry.keys, entry.text("key_password")),
    }
    world = _Surroundings(Policy(inbound=InboundPolicy(tag_subject=False)), known, now=now)
    outcomes = world.drive(message, inbound.STAGES)
    findings = [one for outcome in outcomes for one in outcome.message.findings]
    encryptions = tuple(one for one in findings if isinstance(one, EncryptionReport))
    signatures = tuple(one for one in findings if isinstance(one, SignatureReport))
    relayed = outcomes[0].message
    return Seen(
        encryptions=encryptions,
        signatures=signatures,
        sealed=tuple(one for one in findings if isinstance(one, SealedReport)),
        errant=tuple(one for one in findings if isinstance(one, ErrantReport)),
        out=octets(outcomes[0]),
        changed="" if encryptions or signatures else _change(message, relayed),
    )


def _change(came: Message, went: Message) -> str:
    """Fields of ours go before the header; behind it not an octet may differ."""
    if not went.header.endswith(came.header):
        return "the relayed header differs"
    if join(went.body) != join(came.body):
        return "the relayed body differs"
    return ""


def anchors(entry: Entry) -> Anchors:
    """The entry's anchors; an attack without any may use the authorities beside it."""
    found = certificates(entry.paths("trust_anchor"))
    beside = certificates((*entry.paths("aux_files"), *entry.paths("key_files")))
    authorities = frozenset(one for one in beside if one.is_authority)
    return Anchors(frozenset(found) or authorities, authorities, evidence(entry))


def moment(entry: Entry, message: Message | None = None) -> datetime:
    """When it is judged: as the source says, else when the mail was written."""
    said = entry.text("validation_time")
    if said and said != "signingTime":
        return datetime.fromisoformat(said)
    date = headers.first(message.header, "Date") if message else None
    try:
        written = parsedate_to_datetime(date.text) if date else TODAY
    except (ValueError, TypeError, IndexError, OverflowError):
        return TODAY
    return written.replace(tzinfo=UTC) if written.tzinfo is None else written.astimezone(UTC)


def texts(message: bytes) -> bytes:
    """Every decoded leaf of a message, one after the other."""
    tree = entity.parse(message)
    return b"\n".join(entity.decoded(one) for one in entity.walk(tree) if not one.children)
