"""Run one entry through the product and note what it made of it.

Mails go through the stages of arriving mail, as in the gateway; bare CMS objects through
`smime.layers` and `cms`; certificates through `pki`; SMTP payloads through `smtp`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tests.conformance.entry import Entry
from tests.conformance.material import certificates, decryptors
from tests.unit.smtp.play import OPEN, Play
from tests.world import World, incoming, octets

from gatepost.certificate import Certificate
from gatepost.cms import enveloped, signed
from gatepost.cms.signer import SignerVerdict
from gatepost.errors import GatepostError
from gatepost.flow import inbound
from gatepost.flow.fact import AnchorsFor, Answer, CertificateFor, DecryptorsFor, Fact, SignerFor
from gatepost.flow.peel import ENCRYPTED, SIGNED, SealedReport
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.mail.message import Message
from gatepost.mime import entity, headers
from gatepost.mime.canonical import crlf
from gatepost.pki import p12
from gatepost.pki.pem import read_certificates
from gatepost.pki.validate import Anchors, PathReport, validate
from gatepost.policy.rules import InboundPolicy, Policy
from gatepost.smime import layers
from gatepost.smime.report import EncryptionReport, ErrantReport, SignatureReport
from gatepost.smtp.events import EndOfData, MailFrom
from gatepost.smtp.settings import ServerSettings

TODAY = datetime(2026, 3, 1, tzinfo=UTC)  # the Thunderbird set's certificates are good then
READER = "reader@xyz.example"
_PEM = re.compile(rb"\A-----BEGIN |^-----BEGIN CMS-----", re.MULTILINE)
_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]{60,}={0,2}\r?\n")


@dataclass(frozen=True)
class Seen:
    """What came of an entry."""

    encryptions: tuple[EncryptionReport, ...] = ()
    signatures: tuple[SignatureReport, ...] = ()  # outermost first
    sealed: tuple[SealedReport, ...] = ()
    errant: tuple[ErrantReport, ...] = ()
    out: bytes = field(default=b"", repr=False)  # the message as relayed
    changed: str = ""  # how the relayed message differs although nothing was opened
    # bare objects
    plain: bytes | None = field(default=None, repr=False)
    verdicts: tuple[SignerVerdict, ...] = ()
    certificates: tuple[Certificate, ...] = field(default=(), repr=False)
    paths: tuple[PathReport, ...] = ()
    bodies: tuple[bytes, ...] | None = field(default=None, repr=False)  # mails an SMTP server took
    senders: int = 0
    # how it went
    fault: str = ""  # one of our errors
    surprise: str = ""  # any other
    seconds: float = 0.0  # of processor time

    @property
    def outcome(self) -> str:
        """For a person reading a list."""
        said = [f"decrypted {one.cipher}" for one in self.encryptions]
        said += [f"{one.verdict.value} {'; '.join(one.all_reasons)}" for one in self.signatures]
        said += [f"sealed: {one.reason}" for one in self.sealed]
        said += [f"errant {one.kind}" for one in self.errant]
        said += ["decrypted" for _ in (self.plain,) if self.plain is not None]
        said += ["intact" if one.intact else one.reason for one in self.verdicts]
        said += ["trusted" if one.trusted else "; ".join(one.reasons) for one in self.paths]
        said += [text for text in (self.changed, self.fault, self.surprise) if text]
        return " | ".join(said) or "nothing found"


def observe(entry: Entry) -> Seen:
    """Whatever happens, an answer."""
    octets_ = entry.octets
    look = _way(entry, octets_)
    began = time.thread_time()
    try:
        seen = look(entry, octets_)
    except GatepostError as error:
        seen = Seen(fault=str(error) or type(error).__name__)
    except Exception as error:  # noqa: BLE001  anything else is what this is all about
        seen = Seen(surprise=f"{type(error).__name__}: {error}")
    return replace(seen, seconds=time.thread_time() - began)


def _way(entry: Entry, content: bytes) -> Callable[[Entry, bytes], Seen]:
    if entry.label == "p12-imports":
        return _bundle
    if entry.kind == "path":
        return _limbo if entry.row["file"].endswith(".json") else _path
    if entry.row.get("sequence"):
        return _smtp
    return _bare if _is_bare(content) else _mail


def _is_bare(content: bytes) -> bool:
    return bool(content[:1] == b"\x30" or _PEM.search(content) or _BASE64_LINE.match(content))


# Mails


class _Surroundings(World):
    """Everybody's questions are answered with the entry's keys and anchors."""

    def answer(self, fact: Fact) -> Answer:
        match fact:
            case AnchorsFor():
                return self.facts[AnchorsFor("")]
            case DecryptorsFor():
                return self.facts[DecryptorsFor(_reader())]
            case CertificateFor() | SignerFor():
                return super().answer(fact)


def _reader() -> Mailbox:
    return Mailbox.parse(READER)


def _mail(entry: Entry, content: bytes) -> Seen:
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
    return Anchors(frozenset(found) or authorities, authorities)


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


# Bare CMS objects


def _bare(entry: Entry, content: bytes) -> Seen:
    content = content[max(0, content.find(b"-----BEGIN ")) :]
    layer = layers.outermost(b"Content-Type: application/pkcs7-mime\r\n", content)
    if layer is None:
        return Seen(fault="not a CMS object")
    if layer.kind in ENCRYPTED:
        keys = decryptors(entry.keys, entry.text("key_password"))
        opened = enveloped.decrypt(layer.octets, keys, entropy=bytes)
        return Seen(plain=opened.content)
    if layer.kind in SIGNED:
        return _signed(entry, layer.octets)
    return Seen(fault=f"{layer.kind} is not something this version opens")


def _signed(entry: Entry, cms: bytes) -> Seen:
    found = signed.parse(cms)
    about = _about(entry) if found.inside is None else None
    known = certificates(entry.paths("key_files"), entry.text("key_password"))
    verdicts = signed.verify(found, about, known=known)
    trusted = anchors(entry)
    paths = tuple(
        validate(
            one.certificate,
            (*found.certificates, *known),
            trusted,
            moment=one.signing_time or moment(entry),
        )
        for one in verdicts
        if one.certificate is not None and not entry.is_signature_only and trusted.roots
    )
    return Seen(
        verdicts=verdicts, certificates=found.certificates, plain=found.content, paths=paths
    )


def _about(entry: Entry) -> Octets | None:
    files = entry.paths("aux_files")
    return Octets(files[0].read_bytes()) if files else None


# Certificates


def _path(entry: Entry, content: bytes) -> Seen:
    (leaf, *rest) = read_certificates(content)
    roots = frozenset(certificates(entry.paths("trust_anchor")))
    extra = (*rest, *certificates(entry.paths("aux_files")))
    options = entry.row.get("options") or []
    when = TODAY
    if "-attime" in options:
        when = datetime.fromtimestamp(int(options[options.index("-attime") + 1]), UTC)
    return Seen(paths=(validate(leaf, extra, Anchors(roots), moment=when, purpose="any"),))


def _limbo(entry: Entry, content: bytes) -> Seen:
    case = json.loads(content)
    (leaf,) = Certificate.from_pem(case["peer_certificate"].encode())
    extra = [one for pem in case["untrusted_intermediates"] for one in _pem(pem)]
    roots = frozenset(one for pem in case["trusted_certs"] for one in _pem(pem))
    said = case["validation_time"]
    when = datetime.fromisoformat(said) if said else TODAY
    return Seen(paths=(validate(leaf, extra, Anchors(roots), moment=when, purpose="any"),))


def _pem(text: str) -> tuple[Certificate, ...]:
    try:
        return Certificate.from_pem(text.encode())
    except GatepostError:
        return ()  # as in a mail: a certificate that is none is passed over


def _bundle(entry: Entry, content: bytes) -> Seen:
    bundle = p12.read(content, entry.text("password"))
    return Seen(certificates=(bundle.certificate, *bundle.issuers))


# SMTP


def _smtp(entry: Entry, content: bytes) -> Seen:
    bodies: list[bytes] = []
    senders = 0
    for bare in ("reject", "normalise"):
        for step in (len(content), 1, 7):
            settings = ServerSettings("gw.example", bare=bare)
            play = Play(settings).feed([OPEN, b"DATA\r\n"])
            play.feed(content[at : at + step] for at in range(0, len(content), step))
            senders = max(senders, sum(isinstance(one, MailFrom) for one in play.events))
            bodies += play.bodies
            assert sum(isinstance(one, EndOfData) for one in play.events) <= 1
    return Seen(bodies=tuple(bodies), senders=senders)


def texts(message: bytes) -> bytes:
    """Every decoded leaf of a message, one after the other."""
    tree = entity.parse(message)
    return b"\n".join(entity.decoded(one) for one in entity.walk(tree) if not one.children)


def canonical(octets_: bytes) -> bytes:
    """Line ends as CRLF, to compare what different programs hashed."""
    return crlf(octets_)
