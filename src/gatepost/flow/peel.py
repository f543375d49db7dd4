"""Open arriving mail one cryptographic layer at a time (RFC 8551 section 3.7, RFC 9787).

Decryption is strict: each recipient's mail is opened with his own keys or his domain's,
never with another recipient's, and whoever has none gets it as it came.  Only a layer
around everything is opened (EFAIL).  Every failure to open looks alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gatepost.certificate import Certificate
from gatepost.cms import enveloped
from gatepost.cms.capability import Decryptor
from gatepost.cms.digest import digests_of
from gatepost.errors import GatepostError, KeyUnavailable
from gatepost.flow import chase, company, original, revocation
from gatepost.flow.context import Context
from gatepost.flow.fact import AnchorsFor, DecryptorsFor, Fact, IssuersOf, RevocationOf, SignersOf
from gatepost.flow.nature import outer
from gatepost.flow.verdict import Again, Continue, Defer, Split, Verdict
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Content, is_large
from gatepost.mail.envelope import Recipient
from gatepost.mail.message import Message
from gatepost.mail.reply import Reply
from gatepost.mime import headers
from gatepost.pki.validate import Anchors
from gatepost.smime import layers, outlook, report
from gatepost.smime.decrypt import Opened, decrypt
from gatepost.smime.expand import expand
from gatepost.smime.layers import Layer
from gatepost.smime.report import (
    CompressionReport,
    EncryptionReport,
    ErrantReport,
    SignatureReport,
)
from gatepost.smime.verify import Verified, verify

MAXIMUM_LAYERS = 10  # RFC 2634 wraps three times; nobody honest needs more
MAXIMUM_CONTENTS = 4  # different ones that recipients' keys find in one message
MAXIMUM_SEARCHED = 1024 * 1024  # of a message looked through for layers around a part only

SIGNED = frozenset({"multipart-signed", "signed-data"})
ENCRYPTED = frozenset({"enveloped-data", "authenveloped-data"})
LAYERS = EncryptionReport | SignatureReport | CompressionReport
CERTIFICATES = "certs-only"  # smime-type of RFC 8551 section 3.8


# What a stranger's octets do to a parser.  One that forgot a case must not show by its 451
# what only a key could uncover, nor have the same mail sent again for days.
FAULTS = (GatepostError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError)


def _why(error: Exception) -> str:
    """In our own words only: others may hold the octets."""
    return str(error) if isinstance(error, GatepostError) else "it could not be read"


@dataclass(frozen=True, slots=True)
class SealedReport:
    """A layer these recipients cannot open; under it the message stays as it came."""

    kind: str
    reason: str = "no key of the recipient opens it unchanged"
    tried: bool = False  # a key it names did not open it; never told to anybody

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {"layer": self.kind, "opened": False, "reasons": [self.reason]}


@dataclass(frozen=True, slots=True)
class Absent:
    """What has to be known of a signature besides: its signer's certificate, or of its path."""

    fact: SignersOf | RevocationOf | IssuersOf


def asks(message: Message, _context: Context) -> frozenset[Fact]:
    """Keys of the recipients for an encrypted layer, anchors of the author for a signed one."""
    if _sealed(message):
        return frozenset()
    layer = outer(message.header, message.body)
    facts: set[Fact] = set()
    if layer in ("enveloped", "unknown"):
        facts.update(DecryptorsFor(one.mailbox) for one in message.envelope.recipients)
    facts.update(one.fact for one in message.findings if isinstance(one, Absent))
    author = headers.author(message.header)
    if layer in ("clear-signed", "signed", "unknown") and author is not None:
        facts.add(AnchorsFor(author.domain_key))
    return frozenset(facts)


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Take off the outermost layer, if there is one and it can be."""
    if _sealed(message):
        return message, Continue()
    if (bare := outlook.unwrapped(message.header, message.body)) is not None:
        return replace(message, header=bare[0], body=bare[1]), Again()
    try:
        layer = _outermost(message)
    except FAULTS as error:
        return message.noting(SealedReport("unknown", _why(error))), Continue()
    if layer is None:
        return message, Continue()
    if layer.kind == "unknown" and layer.declared == CERTIFICATES:
        return message, Continue()  # no CMS object, and nobody meant to encrypt anything
    if not layer.whole:
        return message.noting(ErrantReport(layer.kind, layer.path)), Continue()
    if _depth(message) >= MAXIMUM_LAYERS:
        return message.noting(SealedReport(layer.kind, "too many layers")), Continue()
    return _peeled(message, layer, context)


def _peeled(message: Message, layer: Layer, context: Context) -> tuple[Message, Verdict]:
    if layer.kind in SIGNED:
        return _verified(message, layer, context)
    if layer.kind in ENCRYPTED:
        return _decrypted(message, layer, context)
    if layer.kind == "compressed-data":
        return _expanded(message, layer)
    why = f"{layer.kind} is not something this version opens"
    return message.noting(SealedReport(layer.kind, why)), Continue()


def _outermost(message: Message) -> Layer | None:
    if outer(message.header, message.body) == "none":
        searched = headers.content_type(message.header).type == "multipart"
        if not searched or message.body.size > MAXIMUM_SEARCHED:
            return None
    return layers.outermost(message.header, message.body)


def _sealed(message: Message) -> bool:
    return any(isinstance(one, SealedReport) for one in message.findings)


def _depth(message: Message) -> int:
    return sum(isinstance(one, LAYERS) for one in message.findings)


# Signatures


def _verified(message: Message, layer: Layer, context: Context) -> tuple[Message, Verdict]:
    author = headers.author(message.header)
    anchors = _anchors(author, message, context)
    try:
        found = _verified_by(anchors, message, layer, context)
        above = chase.lacks(found.report, author, anchors, context)
        if (lacking := above or revocation.lacks(found.report, context)) is not None:
            return message.noting(Absent(lacking)), Again()
        weighed = revocation.weighed(found.report, anchors, context)
        if weighed is not None:
            found = _verified_by(weighed.anchors, message, layer, context)
            message = message.noting(weighed.note)
    except FAULTS as error:
        broken = SignatureReport(layer.kind, report.Verdict.INVALID, reasons=(_why(error),))
        return message.noting(broken), Continue()
    if author and _lacks_certificate(found.report) and SignersOf(author) not in context.facts:
        return message.noting(Absent(SignersOf(author))), Again()
    noted = message.noting(found.report, *original.opened(message, found.report, context))
    inner = replace(noted, header=found.header, body=found.body)
    if inner == noted:  # a signature over nothing, such as certs-only (RFC 8551 section 3.8)
        return noted, Continue()
    if layer.kind == "multipart-signed" and _keeps(found.report, context) and not _more(inner):
        return replace(noted, header=found.outside), Continue()
    return inner, Again()


def _verified_by(anchors: Anchors, message: Message, layer: Layer, context: Context) -> Verified:
    author = headers.author(message.header)
    found = verify(
        message.header,
        message.body,
        anchors,
        context.now,
        author,
        known=context.signers_of(SignersOf(author)) if author else (),
        keep_signature=False,
        layer=layer,
        decrypted=any(isinstance(one, EncryptionReport) for one in message.findings),
    )
    shown = (message.header, found.header)
    return replace(found, report=company.counted(found.report, author, shown, anchors))


def _lacks_certificate(found: SignatureReport) -> bool:
    return any(one.certificate is None for one in found.signers)


def _anchors(author: Mailbox | None, message: Message, context: Context) -> Anchors:
    """Whom the author's company trusts, and what was found of paths meanwhile."""
    if author is None:
        return Anchors(frozenset())
    anchors = context.anchors_for(AnchorsFor(author.domain_key))
    facts = tuple(one.fact for one in message.findings if isinstance(one, Absent))
    found = chase.known(facts, context)
    return replace(anchors, intermediates=anchors.intermediates | found) if found else anchors


def _keeps(found: SignatureReport, context: Context) -> bool:
    """A signature that is not simply good stays on as evidence, whatever the setting."""
    return context.policy.inbound.keep_signature or found.verdict is not report.Verdict.VALID


def _more(message: Message) -> bool:
    try:
        layer = _outermost(message)
    except FAULTS:
        return False
    return layer is not None and layer.whole


# Encryption


def _decrypted(message: Message, layer: Layer, context: Context) -> tuple[Message, Verdict]:
    try:
        parts = _parts(message, layer, context)
    except KeyUnavailable as error:  # says nothing about the message: the vault is locked
        return message, Defer(Reply.for_error(error), str(error))
    except FAULTS:
        return message.noting(SealedReport(layer.kind)), Continue()
    if len(parts) > 1:
        return message, Split(parts, again=True)
    return parts[0], Again()


def _parts(message: Message, layer: Layer, context: Context) -> tuple[Message, ...]:
    """The message opened for each recipient, and once as it came for whom it stays shut.

    An honest message holds the same for everybody and goes on as one, however many keys
    have opened it; a hostile one may not fill the memory with as many contents as keys.
    """
    shut: list[Recipient] = []
    tried = False
    found: list[tuple[Opened, list[Recipient]]] = []
    for members, decryptors in _groups(message, layer, context):
        opened = _unlocked(message, layer, decryptors, context)
        same = next((n for n, (one, _) in enumerate(found) if _alike(one, opened)), None)
        if opened is None or (same is None and len(found) >= MAXIMUM_CONTENTS):
            shut += members
            tried = tried or bool(decryptors)
        elif same is None:
            found.append((opened, list(members)))
        else:  # several keys have opened it: none of them speaks for all
            one, others = found[same]
            found[same] = replace(one, report=replace(one.report, used=None)), [*others, *members]
    parts = [
        replace(message.to(*members), header=one.header, body=one.body).noting(one.report)
        for one, members in found
    ]
    if shut:
        parts.append(message.to(*shut).noting(SealedReport(layer.kind, tried=tried)))
    order = message.envelope.recipients
    return tuple(sorted(parts, key=lambda one: order.index(one.envelope.recipients[0])))


def _alike(one: Opened, other: Opened | None) -> bool:
    if other is None or one.header != other.header:
        return False
    return one.body == other.body or _same_octets(one.body, other.body)


def _same_octets(one: Content, other: Content) -> bool:
    """Whether large contents that were made alike are alike, which they cannot tell themselves."""
    if one.size != other.size or not is_large(one):
        return False
    return digests_of(one, ("sha256",)) == digests_of(other, ("sha256",))


def _unlocked(
    message: Message, layer: Layer, decryptors: tuple[Decryptor, ...], context: Context
) -> Opened | None:
    """What these keys find inside; nothing, and no reason why, when they do not fit."""
    if not decryptors:
        return None
    try:
        return decrypt(
            message.header, message.body, decryptors, entropy=context.entropy, layer=layer
        )
    except KeyUnavailable:
        raise
    except FAULTS:
        return None


# Compression


def _expanded(message: Message, layer: Layer) -> tuple[Message, Verdict]:
    try:
        found = expand(message.header, layer, protected=_is_protected(message))
    except FAULTS as error:
        return message.noting(SealedReport(layer.kind, _why(error))), Continue()
    return replace(message, header=found.header, body=found.body).noting(found.report), Again()


def _is_protected(message: Message) -> bool:
    return any(isinstance(one, EncryptionReport | SignatureReport) for one in message.findings)


Group = tuple[tuple[Recipient, ...], tuple[Decryptor, ...]]


def _groups(message: Message, layer: Layer, context: Context) -> list[Group]:
    """Recipients by the keys of theirs that the layer names.

    RecipientInfos are not authenticated: naming a certificate proves nothing, so nobody
    gets what only another recipient's key has opened.
    """
    named = _Named(enveloped.recipients(layer.octets))
    found: defaultdict[frozenset[Certificate], list[Recipient]] = defaultdict(list)
    keys: dict[frozenset[Certificate], tuple[Decryptor, ...]] = {}
    for one in message.envelope.recipients:
        own = named.among(context.decryptors_for(DecryptorsFor(one.mailbox)))
        certificates = frozenset(decryptor.certificate for decryptor in own)
        found[certificates].append(one)
        keys.setdefault(certificates, own)
    return [(tuple(members), keys[which]) for which, members in found.items()]


class _Named:
    """The certificates a layer names, looked up without comparing each with each."""

    def __init__(self, identifiers: Sequence[enveloped.RecipientId]) -> None:
        self._by_serial: defaultdict[int | None, list[enveloped.RecipientId]] = defaultdict(list)
        self._key_ids = {one.key_id for one in identifiers if one.key_id is not None}
        for one in identifiers:
            if one.issuer is not None:
                self._by_serial[one.serial].append(one)

    def among(self, decryptors: Iterable[Decryptor]) -> tuple[Decryptor, ...]:
        """Those whose certificate is named."""
        return tuple(one for one in decryptors if self._names(one.certificate))

    def _names(self, certificate: Certificate) -> bool:
        if certificate.key_id is not None and certificate.key_id in self._key_ids:
            return True
        return any(one.names(certificate) for one in self._by_serial.get(certificate.serial, ()))
