"""Verify the outermost signed layer (RFC 8551 section 3.5, RFC 8550, RFC 5652 section 5.6).

Clear signatures are checked over the raw octets of part one; opaque ones are unwrapped
to the entity inside.  What is reported is never more than what was proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from gatepost.certificate import Certificate
from gatepost.cms import identifier, signed
from gatepost.cms.signed import SignedData
from gatepost.cms.signer import SignerInfo, SignerVerdict
from gatepost.errors import GatepostError, Unsupported
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Content, Octets, join
from gatepost.mime import canonical, headers
from gatepost.pki import identity, usable
from gatepost.pki.validate import Anchors, validate
from gatepost.smime import layers, payload
from gatepost.smime.layers import Layer
from gatepost.smime.report import SignatureReport, SignerReport, Verdict, judge

SIGNED = ("multipart-signed", "signed-data")
CLOCK_SKEW = timedelta(hours=24)  # a signing time further ahead than this is a lie or a fault
DATE_TOLERANCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Verified:
    """The message after verification and the report on its outermost layer."""

    header: bytes
    body: Content
    report: SignatureReport


@dataclass(frozen=True, slots=True)
class _Question:
    """What every signer is measured against."""

    authors: tuple[Mailbox, ...]
    anchors: Anchors
    moment: datetime
    certificates: tuple[Certificate, ...]


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
) -> Verified:
    """Verify the outermost layer, which must be a whole signed one; raises Malformed.

    A clear-signed message stays as it is, or loses its signature if `keep_signature` is
    false; an opaque one always becomes the entity inside.
    """
    layer = layer or layers.outermost(header, join(body))
    if layer is None or layer.kind not in SIGNED or not layer.whole:
        raise Unsupported("no signature covers the whole message")
    found = signed.parse(layer.octets)
    octets, verdicts, reasons = _checked(found, layer, known)
    question = _Question(_authors(header, author), anchors, moment, found.certificates)
    signers = tuple(
        _judged(info, verdict, question)
        for info, verdict in zip(found.signers, verdicts, strict=True)
    )
    report = SignatureReport(
        kind=layer.kind,
        verdict=Verdict.INVALID if reasons and signers else judge(signers),
        signers=tuple(_broken(one) for one in signers) if reasons else signers,
        size=len(octets or b""),
        certificates=found.certificates,
        reasons=(*reasons, *_doubts(signers, header, author)),
    )
    stays = keep_signature if layer.kind == "multipart-signed" else bool(reasons)
    if octets is None or stays:
        return Verified(header, body, report)
    return Verified(*_opened(header, octets), report)


def _opened(header: bytes, octets: bytes) -> tuple[bytes, Content]:
    inner = payload.unwrapped(header, octets)
    if layers.outermost(inner[0], join(inner[1])) is None:
        return payload.transportable(*inner)
    return inner


# The mathematics


def _checked(
    found: SignedData, layer: Layer, known: Sequence[Certificate]
) -> tuple[bytes | None, tuple[SignerVerdict, ...], tuple[str, ...]]:
    """The octets that were signed, a verdict per signer, and what is wrong with the layer."""
    inside = found.content
    if layer.signed is None:
        if inside is None:
            none = SignerVerdict(intact=False, certificate=None, reason="nothing was signed")
            return None, (none,) * len(found.signers), ()
        reasons = () if found.content_type == "data" else (f"{found.content_type} was signed",)
        return inside, signed.verify(found, None, known=known), reasons
    reasons = ()
    if inside and canonical.crlf(inside) != canonical.crlf(layer.signed):
        # Johnny, You Are Fired (2019), C1: which of the two would a reader show?
        reasons = ("the detached signature brings a content of its own",)
    return layer.signed, _over_part_one(found, layer.signed, known), reasons


def _over_part_one(
    found: SignedData, raw: bytes, known: Sequence[Certificate]
) -> tuple[SignerVerdict, ...]:
    """RFC 8551 section 3.1.1: line ends were CRLF when signed, whatever they are now."""
    verdicts = signed.verify(found, Octets(raw), known=known)
    if all(verdict.intact for verdict in verdicts):
        return verdicts
    as_signed = canonical.crlf(raw)
    if as_signed == raw:
        return verdicts
    again = signed.verify(found, Octets(as_signed), known=known)
    return again if any(verdict.intact for verdict in again) else verdicts


# The judgement


def _judged(info: SignerInfo, verdict: SignerVerdict, question: _Question) -> SignerReport:
    certificate = verdict.certificate
    report = SignerReport(
        intact=verdict.intact,
        valid=False,
        trusted=False,
        matches=False,
        supported=verdict.intact or _supported(info, certificate),
        certificate=certificate,
        digest=verdict.digest,
        scheme=verdict.scheme,
        signing_time=verdict.signing_time,
        capabilities=verdict.capabilities,
        encryption_certificate=verdict.encryption_certificate,
        reasons=(verdict.reason,) if verdict.reason else (),
    )
    if certificate is None or not verdict.intact:
        return report
    faults = _faults(verdict, certificate, question.moment)
    path = validate(certificate, question.certificates, question.anchors, moment=question.moment)
    return replace(
        report,
        valid=not faults,
        trusted=path.trusted,
        matches=_is_author(certificate, question.authors),
        chain=path.chain,
        reasons=tuple(dict.fromkeys((*faults, *map(_said, path.reasons)))),
    )


def _faults(verdict: SignerVerdict, certificate: Certificate, moment: datetime) -> tuple[str, ...]:
    """Why a mathematically good signature is worth nothing (RFC 8550 section 4.4)."""
    faults: list[str] = []
    if verdict.weak:
        faults.append(f"the signature uses {verdict.digest}, which can be forged")
    claimed = verdict.signing_time
    if claimed is not None and claimed > moment + CLOCK_SKEW:
        faults.append(f"the signature claims to be made on {claimed:%Y-%m-%d}, in the future")
    unusable = usable.usable_for(certificate, "sign", min(claimed or moment, moment))
    return (*faults, *map(_said, unusable))


def _said(clause: str) -> str:
    """`pki` speaks in clauses about a certificate."""
    return f"the signer's certificate: {clause}"


def _supported(info: SignerInfo, certificate: Certificate | None) -> bool:
    """Whether there was anything to check: a known algorithm and a certificate with a known key."""
    try:
        identifier.digest_name(info.digest_identifier)
        identifier.signature_algorithm(info.algorithm_identifier)
    except Unsupported:
        return False
    except GatepostError:
        return True
    return certificate is not None and certificate.public_key is not None


def _broken(signer: SignerReport) -> SignerReport:
    return replace(signer, intact=False, valid=False)


# The author


def _authors(header: bytes, author: Mailbox | None) -> tuple[Mailbox, ...]:
    """Every mailbox a reader could take for the author (RFC 5322 section 3.6.2)."""
    if author is None:
        return ()
    shown = [
        one for found in headers.every(header, "From") for one in headers.mailboxes(found.value)
    ]
    return (author, *shown)


def _is_author(certificate: Certificate, authors: Sequence[Mailbox]) -> bool:
    return bool(authors) and all(identity.matches(certificate, one) for one in authors)


def _doubts(
    signers: Sequence[SignerReport], header: bytes, author: Mailbox | None
) -> tuple[str, ...]:
    """What a person should know of the layer as a whole."""
    return (*_about_author(signers, header, author), *_about_date(signers, header))


def _about_date(signers: Sequence[SignerReport], header: bytes) -> tuple[str, ...]:
    """An old signature under a new Date may be a replay: no signature covers the header."""
    found = headers.first(header, "Date")
    times = [one.signing_time for one in signers if one.intact and one.signing_time is not None]
    if found is None or not times:
        return ()
    try:
        date = parsedate_to_datetime(found.text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return ("the Date field cannot be read",)
    date = date.replace(tzinfo=UTC) if date.tzinfo is None else date
    if min(abs(date - time) for time in times) <= DATE_TOLERANCE:
        return ()
    return (f"it was signed on {times[0]:%Y-%m-%d %H:%M} UTC, far from the message's date",)


def _about_author(
    signers: Sequence[SignerReport], header: bytes, author: Mailbox | None
) -> tuple[str, ...]:
    if not signers:
        return ("the signature names no signer",)
    if author is None:
        return ("the message has no author whose signature it could be",)
    if len({one.key for one in _authors(header, author)}) > 1:
        return ("the message names several authors",)
    if any(one.matches for one in signers) or not any(one.intact for one in signers):
        return ()
    return (f"the signer's certificate is not for {author}",)
