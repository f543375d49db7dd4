"""Verify the outermost signed layer (RFC 8551 section 3.5, RFC 8550, RFC 5652 section 5.6).

Clear signatures are checked over the raw octets of part one; opaque ones are unwrapped
to the entity inside.  What is reported is never more than what was proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

from gatepost.certificate import Certificate
from gatepost.cms import signed
from gatepost.cms.signed import SignedData
from gatepost.cms.signer import SignerVerdict
from gatepost.errors import Unsupported
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Content, join
from gatepost.mime import canonical
from gatepost.pki.validate import Anchors
from gatepost.smime import forensics, layers, payload, restoration
from gatepost.smime.judgement import Question, doubts, judged
from gatepost.smime.layers import Layer
from gatepost.smime.report import HeaderReport, SignatureReport, SignerReport, Verdict, judge
from gatepost.smime.restoration import Found

SIGNED = ("multipart-signed", "signed-data")
GOOD = frozenset({Verdict.VALID, Verdict.VALID_UNTRUSTED})


@dataclass(frozen=True, slots=True)
class Verified:
    """The message after verification and the report on its outermost layer."""

    header: bytes
    body: Content
    report: SignatureReport
    outside: bytes = field(default=b"", repr=False)  # the header while the signature stays on


def verify(
    header: bytes,
    body: Content,
    anchors: Anchors,
    moment: datetime,
    author: Mailbox | None,
    *,
    known: Sequence[Certificate] = (),
    keep_signature: bool = True,
    layer: Layer | None = None,
    decrypted: bool = False,
) -> Verified:
    """Verify the outermost layer, which must be a whole signed one; raises Malformed.

    A clear-signed message stays as it is, or loses its signature if `keep_signature` is
    false; an opaque one always becomes the entity inside.  Protected header fields come
    out if the signature is good, or `decrypted`: encryption lay around it.
    """
    layer = layer or layers.outermost(header, body)
    if layer is None or layer.kind not in SIGNED or not layer.whole:
        raise Unsupported("no signature covers the whole message")
    found = signed.parse(layer.octets)
    whole, verdicts, reasons = _checked(found, layer, known)
    inside = None if whole is None else restoration.payload_of(header, whole)
    question = Question(header, author, anchors, moment, (*found.certificates, *known), inside)
    signers = tuple(
        judged(info, verdict, question)
        for info, verdict in zip(found.signers, verdicts, strict=True)
    )
    if reasons:
        signers = tuple(replace(one, intact=False, valid=False) for one in signers)
    verdict = Verdict.INVALID if reasons and signers else judge(signers)
    believed = decrypted or verdict in GOOD
    fields = _compared(header, inside, encrypted=decrypted, believed=believed)
    report = SignatureReport(
        kind=layer.kind,
        verdict=verdict,
        signers=signers,
        size=0 if whole is None else whole.size,
        certificates=found.certificates,
        enclosed=found.enclosed,
        reasons=(
            *reasons,
            *(fields.reasons if fields is not None else ()),
            *doubts(signers, question),
        ),
        headers=fields,
        forensics=_forensics(found, layer, signers, reasons),
    )
    outside = _outside(header, inside, fields)
    stays = keep_signature if layer.kind == "multipart-signed" else bool(reasons)
    if whole is None or stays:
        return Verified(outside, body, report, outside)
    return Verified(*_opened(header, whole, inside, fields), report, outside)


def _forensics(
    found: SignedData, layer: Layer, signers: Sequence[SignerReport], reasons: Sequence[str]
) -> str:
    """What broke a clear signature that nobody has tried to forge in another way."""
    if reasons or layer.signed is None or any(one.intact for one in signers):
        return ""
    if layer.signed.size > forensics.MAXIMUM_SIZE:
        return f"not looked into: more than {forensics.MAXIMUM_SIZE} octets"
    return forensics.explained(found, join(layer.signed))


def _compared(
    header: bytes, inside: Found | None, *, encrypted: bool, believed: bool
) -> HeaderReport | None:
    if inside is None:
        return None
    return restoration.compared(header, inside, encrypted=encrypted, believed=believed)


def _outside(header: bytes, inside: Found | None, fields: HeaderReport | None) -> bytes:
    if inside is None or fields is None:
        return header
    return restoration.rewritten(header, inside, fields)


def _opened(
    header: bytes, whole: Content, inside: Found | None, fields: HeaderReport | None
) -> tuple[bytes, Content]:
    if inside is None or fields is None:
        inner = payload.unwrapped(header, whole)
    else:
        inner = restoration.shown(header, inside, fields)
    if layers.outermost(*inner) is None:
        return payload.transportable(*inner)
    return inner


def _checked(
    found: SignedData, layer: Layer, known: Sequence[Certificate]
) -> tuple[Content | None, tuple[SignerVerdict, ...], tuple[str, ...]]:
    """The octets that were signed, a verdict per signer, and what is wrong with the layer."""
    inside = found.inside
    if layer.signed is None:
        if inside is None:
            none = SignerVerdict(intact=False, certificate=None, reason="nothing was signed")
            return None, (none,) * len(found.signers), ()
        reasons = () if found.content_type == "data" else (f"{found.content_type} was signed",)
        return inside, signed.verify(found, None, known=known), reasons
    reasons = ()
    if inside is not None and inside.size and _lines(inside) != _lines(layer.signed):
        # Johnny, You Are Fired (2019), C1: which of the two would a reader show?
        reasons = ("the detached signature brings a content of its own",)
    return layer.signed, _over_part_one(found, layer.signed, known), reasons


def _lines(content: Content) -> bytes:
    """What stands for the octets, however their lines end."""
    running = sha256()
    for chunk in canonical.crlf_chunks(content.chunks()):
        running.update(chunk)
    return running.digest()


def _over_part_one(
    found: SignedData, raw: Content, known: Sequence[Certificate]
) -> tuple[SignerVerdict, ...]:
    """RFC 8551 section 3.1.1: line ends were CRLF when signed, whatever they are now."""
    verdicts = signed.verify(found, raw, known=known)
    if all(verdict.intact for verdict in verdicts):
        return verdicts
    as_signed = canonical.straight(raw)
    if as_signed.size == raw.size:  # no line end is another than before
        return verdicts
    again = signed.verify(found, as_signed, known=known)
    return max(again, verdicts, key=lambda several: sum(one.intact for one in several))
