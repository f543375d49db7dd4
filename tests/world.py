"""The simulated world: a clock, companies with keys, facts as a dict, entropy from a seed.

`drive` runs a message through stages as the engine would, answering from the dict; what
the dict lacks is unknown, which is an answer too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from tests.pki_builder import User, company_root, user

from gatepost.certificate import Certificate
from gatepost.flow.challenge import Expected
from gatepost.flow.context import Context
from gatepost.flow.course import decide
from gatepost.flow.decision import Decision, decisions
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
    SignerAnswer,
    SignerFor,
    SignersOf,
)
from gatepost.flow.stage import Flow, Stage, run
from gatepost.flow.verdict import Outcome
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Arrival, Direction, Message
from gatepost.mime.entity import split_header
from gatepost.pki.choose import Choice, Rejection
from gatepost.pki.evidence import Evidence
from gatepost.pki.validate import Anchors
from gatepost.policy.parse import parse
from gatepost.policy.rules import Policy
from gatepost.smime.correspondent import Correspondent

T = TypeVar("T")

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
OURS = "xyz.example"
THEIRS = "partner.example"
ANCHORS = Anchors(frozenset({company_root().certificate}))
MODERN = ("aes256-gcm", "rsa-oaep")
UNTRUSTED = Anchors(frozenset())


def person(address: str) -> User:
    """The certificate and key of this address, always the same."""
    return user(address)


def choice(address: str, *, rejected: str = "") -> Choice:
    """The answer that this address's certificate is usable, or was rejected for a reason."""
    certificate = person(address).certificate
    if rejected:
        return Choice(None, (Rejection(certificate, rejected),))
    return Choice(certificate)


def announcing(*names: str) -> Correspondent:
    """A correspondent whose signature said a month ago that he reads these."""
    return Correspondent(frozenset(names), NOW - timedelta(days=31), seen_at=NOW)


def facts(
    *,
    readers: Mapping[str, Choice] | Sequence[str] = (),
    modern: Sequence[str] = (),
    correspondents: Mapping[str, Correspondent] | None = None,
    signers: Sequence[str] = (),
    openers: Sequence[str] = (),
    anchors: Mapping[str, Anchors] | None = None,
) -> dict[Fact, Answer]:
    """Facts by address: who can be encrypted to (`modern`: and reads GCM), signs, decrypts."""
    known: dict[Fact, Answer] = {}
    found = readers if isinstance(readers, Mapping) else {one: choice(one) for one in readers}
    for address, one in found.items():
        known[CertificateFor(Mailbox.parse(address))] = one
    for address in modern:
        known[CertificateFor(Mailbox.parse(address))] = choice(address)
        known[CorrespondentFor(Mailbox.parse(address))] = announcing(*MODERN)
    for address, what in (correspondents or {}).items():
        known[CorrespondentFor(Mailbox.parse(address))] = what
    for address in signers:
        known[SignerFor(Mailbox.parse(address))] = SignerAnswer(person(address).signer)
    for address in openers:
        known[DecryptorsFor(Mailbox.parse(address))] = (person(address).decryptor,)
    for domain, one_of in (anchors or {}).items():
        known[AnchorsFor(domain)] = one_of
    return known


def unknown(fact: Fact) -> Answer:
    """What the world says when it knows nothing."""
    match fact:
        case CertificateFor():
            return Choice(None)
        case CorrespondentFor():
            return Correspondent()
        case SignerFor():
            return SignerAnswer(None, "nobody by that name")
        case DecryptorsFor() | SignersOf() | IssuersOf():
            return ()
        case AnchorsFor():
            return UNTRUSTED
        case RevocationOf():
            return Evidence(required=False)
        case ChallengeFor():
            return Expected()


@dataclass(slots=True)
class World:
    """One gateway's surroundings; the same seed gives the same octets."""

    policy: Policy = field(default_factory=Policy)
    facts: Mapping[Fact, Answer] = field(default_factory=dict)
    domains: frozenset[str] = frozenset({OURS})
    hostname: str = "gate.xyz.example"
    now: datetime = NOW
    seed: int = 1
    mac: Callable[[bytes], bytes] | None = None
    asked: list[Fact] = field(default_factory=list)

    @classmethod
    def under(cls, toml: str, known: Mapping[Fact, Answer] | None = None, **more: object) -> World:
        """A world under this policy text."""
        return cls(parse(toml), known or {}, **more)  # type: ignore[arg-type]  # fields by name

    def context(self) -> Context:
        """A fresh context without any facts."""
        chance = random.Random(self.seed)
        return Context(
            now=self.now,
            hostname=self.hostname,
            domains=self.domains,
            policy=self.policy,
            entropy=chance.randbytes,
            names=_names(chance),
            mac=self.mac,
        )

    def drive(self, message: Message, stages: Sequence[Stage]) -> tuple[Outcome, ...]:
        """Run the stages to their end, answering what they ask."""
        return self._driven(run(message, self.context(), stages))

    def decide(self, message: Message) -> tuple[Outcome, ...]:
        """Decide as the engine does, trace fields looked at."""
        return self._driven(decide(message, self.context()))

    def _driven(self, flow: Flow) -> tuple[Outcome, ...]:
        try:
            questions = next(flow)
            while True:
                self.asked.extend(questions)
                questions = flow.send({one: self.answer(one) for one in questions})
        except StopIteration as end:
            outcomes: tuple[Outcome, ...] = end.value
            return outcomes

    def answer(self, fact: Fact) -> Answer:
        """The known answer, else the unknowing one."""
        return self.facts.get(fact, unknown(fact))


def drive(
    message: Message, stages: Sequence[Stage], known: Mapping[Fact, Answer], policy: str = ""
) -> tuple[Outcome, ...]:
    """Run a message through stages in a world of these facts."""
    return World.under(policy, known).drive(message, stages)


def outgoing(
    content: bytes | str,
    *recipients: str,
    sender: str | None = "alice@xyz.example",
    way: Direction = Direction.OUTBOUND,
) -> Message:
    """A message as it stands after the end of data; bare LF in it becomes CRLF."""
    octets = content.encode() if isinstance(content, str) else content
    octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    header, body = split_header(octets)
    envelope = Envelope(
        Mailbox.parse(sender) if sender else None,
        tuple(Recipient(Mailbox.parse(one)) for one in recipients),
    )
    arrival = Arrival("1A2B3C", NOW, "test", "192.0.2.1", "mail.xyz.example")
    return Message(way, envelope, arrival, header, Octets(body))


def incoming(content: bytes | str, *recipients: str, sender: str | None = None) -> Message:
    """A message from the world."""
    return outgoing(content, *recipients, sender=sender, way=Direction.INBOUND)


def arriving(outcome: Outcome, *recipients: str) -> Message:
    """What left one gateway, as it arrives at the next."""
    sent = outcome.message
    return incoming(octets(outcome), *(recipients or map(str, sent.envelope.recipients)))


def octets(outcome: Outcome) -> bytes:
    """The whole content of an outcome's message."""
    return join(outcome.message.content)


def recipients(outcome: Outcome) -> tuple[str, ...]:
    """The addresses an outcome is for."""
    return tuple(map(str, outcome.message.envelope.recipients))


def told(outcomes: Sequence[Outcome]) -> dict[str, Decision]:
    """The decision about each recipient."""
    return {one.recipient: one for out in outcomes for one in decisions(out.message.findings)}


def only(values: Sequence[T]) -> T:
    """The single value of a sequence."""
    (value,) = values
    return value


def certificates(*addresses: str) -> tuple[Certificate, ...]:
    """The certificates of these addresses."""
    return tuple(person(one).certificate for one in addresses)


def _names(chance: random.Random) -> Callable[[], str]:
    return lambda: f"{chance.getrandbits(96):024x}"
