"""What a signature is worth: usable, trusted, and the author's (RFC 8550, RFC 8551 section 2.5).

The mathematics is settled before; here certificates, times and addresses are weighed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import islice

from gatepost.certificate import Certificate
from gatepost.cms import identifier
from gatepost.cms.signer import SignerInfo, SignerVerdict
from gatepost.errors import GatepostError, Unsupported
from gatepost.mail.address import Mailbox
from gatepost.mime import headers
from gatepost.mime.headers import Field
from gatepost.pki import identity, usable
from gatepost.pki.validate import Anchors, validate
from gatepost.smime.report import SignerReport
from gatepost.smime.restoration import Found

CLOCK_SKEW = timedelta(hours=24)  # a signing time further ahead than this is a lie or a fault
MAXIMUM_TWINS = 50  # certificates looked through for the signer's key
DATE_TOLERANCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Question:
    """What every signer is measured against."""

    header: bytes
    author: Mailbox | None
    anchors: Anchors
    moment: datetime
    certificates: tuple[Certificate, ...]  # that came with the signature
    inside: Found | None = None  # the header fields that were signed

    @property
    def shown(self) -> tuple[Mailbox, ...]:
        """Every mailbox a reader could take for the author (RFC 5322 section 3.6.2)."""
        if self.author is None:
            return ()
        return (self.author, *_named(headers.every(self.header, "From")))

    @property
    def authors(self) -> tuple[Mailbox, ...]:
        """Whom the signature has to be of: those shown and, where signed, those inside.

        So neither a changed outer From nor a foreign inner one is vouched for.
        """
        if self.inside is None or not self.shown:
            return self.shown
        return (*self.shown, *_named(self.inside.fields.get("from", ())))

    @property
    def date(self) -> Field | None:
        """The Date that was signed, otherwise the one outside."""
        inside = self.inside.fields.get("date", ()) if self.inside is not None else ()
        return next(iter(inside), None) or headers.first(self.header, "Date")


def _named(fields: Iterable[Field]) -> tuple[Mailbox, ...]:
    """The addresses of address lists, and those their display names and comments show."""
    return tuple(
        one
        for field in fields
        for one in (*headers.mailboxes(field.value), *headers.seen(field.text))
    )


def judged(info: SignerInfo, verdict: SignerVerdict, question: Question) -> SignerReport:
    """One signer, weighed."""
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
        bound=verdict.bound,
        reasons=(verdict.reason,) if verdict.reason else (),
    )
    if certificate is None or not verdict.intact:
        return report
    faults = (
        *_faults(verdict, certificate, question.moment),
        *_substitutes(verdict, certificate, question.certificates),
    )
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


def _substitutes(
    verdict: SignerVerdict, certificate: Certificate, others: Sequence[Certificate]
) -> tuple[str, ...]:
    """Others certified for the same key.

    Whoever gets a stranger's key certified as his own can put his certificate in the
    stranger's place, unless the signature itself names the certificate.
    """
    if verdict.bound:
        return ()
    twins = (
        one
        for one in others[:MAXIMUM_TWINS]
        if one.public_key == certificate.public_key and set(one.emails) != set(certificate.emails)
    )
    return tuple(
        f"the signer's key is certified for {', '.join(one.emails[:3]) or one.name} as well"
        for one in islice(twins, 1)
    )


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


def _is_author(certificate: Certificate, authors: Sequence[Mailbox]) -> bool:
    return bool(authors) and all(identity.matches(certificate, one) for one in authors)


def doubts(signers: Sequence[SignerReport], question: Question) -> tuple[str, ...]:
    """What a person should know of the layer as a whole."""
    return (
        *_about_author(signers, question),
        *_about_answers(question),
        *_about_date(signers, question.date),
    )


def _about_answers(question: Question) -> tuple[str, ...]:
    """A Reply-To that nobody signed leads answers to whoever wrote it there."""
    if question.inside is not None and question.inside.scheme.startswith("hp="):
        return ()  # taken from inside, or away
    fields = headers.every(question.header, "Reply-To")
    known = {one.key for one in question.shown}
    others = [one for found in fields for one in headers.mailboxes(found.value)]
    stranger = next((one for one in others if one.key not in known), None)
    return () if stranger is None else (f"answers go to {stranger}, whom nobody signed for",)


def _about_date(signers: Sequence[SignerReport], found: Field | None) -> tuple[str, ...]:
    """An old signature under a new Date may be a replay: few signatures cover the header."""
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


def _about_author(signers: Sequence[SignerReport], question: Question) -> tuple[str, ...]:
    if not signers:
        return ("the signature names no signer",)
    if question.author is None:
        return ("the message has no author whose signature it could be",)
    if len({one.key for one in question.shown}) > 1:
        return ("the message names several authors",)
    if any(one.matches for one in signers) or not any(one.intact for one in signers):
        return ()
    return (f"the signer's certificate is not for {question.author}",)
