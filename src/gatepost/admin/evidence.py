"""Evidence of verified signatures: what is kept, a file of it, its head, and whether all holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gatepost.admin.access import opened
from gatepost.admin.testimony import Judge, Judged, told
from gatepost.certificate import Certificate
from gatepost.cms.capability import Signer
from gatepost.config import Settings
from gatepost.engine.service import Stores
from gatepost.errors import ConfigError, GatepostError
from gatepost.mail.address import Mailbox
from gatepost.store import exhibit
from gatepost.store.exhibit import MAXIMUM_HEAD, MAXIMUM_LINE, Head, NotProven, Proven


@dataclass(frozen=True, slots=True)
class Moment:
    """By when a record, and every one before it, was there."""

    number: int
    when: datetime

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {"number": self.number, "when": self.when.isoformat()}


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that holds, and what its records say when judged again."""

    kept: tuple[Judged, ...]
    signer: str
    fingerprint: str
    signed_at: datetime | None
    stamps: tuple[Moment, ...]  # checked by the anchors given
    unchecked: int  # time stamps, for want of anchors
    heads: tuple[Head, ...]  # that this file continues

    @property
    def agrees(self) -> bool:
        """Whether every record, judged again, is what was recorded."""
        return all(one.agrees for one in self.kept)

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "records": [one.as_data() for one in self.kept],
            "agrees": self.agrees,
            "signer": self.signer,
            "fingerprint": self.fingerprint,
            "signed_at": self.signed_at.isoformat() if self.signed_at else None,
            "stamps": [one.as_data() for one in self.stamps],
            "unchecked_stamps": self.unchecked,
            "heads": [one.number for one in self.heads],
        }


def find(config: Path | None, limit: int) -> tuple[Judged, ...]:
    """The oldest records first."""
    with opened(config) as (_, stores):
        return tuple(map(told, stores.directory.evidence.read(stores.evidence_seal, limit=limit)))


def export(config: Path | None, first: int, last: int | None, now: datetime) -> Iterator[bytes]:
    """The lines of one file, signed by the postmaster's key."""
    with opened(config) as (settings, stores):
        kept = stores.directory.evidence
        yield from exhibit.export(
            kept.read(stores.evidence_seal, first, last),
            signer_of(settings, stores, now),
            now,
            proofs=kept.proofs(first),
            stamps=kept.stamps(first, last),
        )


def head(config: Path | None, now: datetime) -> bytes:
    """The chain's head now, signed by the postmaster's key."""
    with opened(config) as (settings, stores):
        last = stores.directory.evidence.last()
        if last is None:
            raise NotProven("no evidence is kept")
        return exhibit.head(last, signer_of(settings, stores, now), now)


def signer_of(settings: Settings, stores: Stores, now: datetime) -> Signer:
    """Whose signature stands under evidence; raises ConfigError where there is no key."""
    postmaster = Mailbox.parse(settings.gateway.postmaster_address)
    signer = stores.vault.signer_for(postmaster, now)
    if signer is None:
        raise ConfigError(
            f"there is no key for {postmaster} to sign the file with",
            hint=f"gatepost cert issue {postmaster}",
        )
    return signer


def verify(path: Path, heads: Sequence[Path] = (), anchors: Path | None = None) -> Checked:
    """Whether a file is what was exported, and its records still prove what they did.

    Needs nothing but the file; heads kept elsewhere show whether its end was cut off, and the
    time stamping authority's anchors when its records were there.
    """
    judge, kept = Judge(), list[Judged]()
    try:
        with path.open("rb") as file:
            lines = iter(lambda: file.readline(MAXIMUM_LINE), b"")
            with _of(path):
                found = exhibit.verify(lines, lambda *one: kept.append(judge.judged(*one)))
        known = tuple(map(_head, heads))
        trusted = _anchors(anchors) if anchors else ()
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be read: {error.strerror}") from error
    with _of(path):
        for one in known:
            found.check(one)
        stamps = _stamps(found, trusted)
    return Checked(
        tuple(kept),
        found.signer.name,
        found.signer.fingerprint,
        found.signed_at,
        stamps,
        0 if trusted else len(found.stamps),
        known,
    )


@contextmanager
def _of(path: Path) -> Iterator[None]:
    """Say of which file it is that something is not proven."""
    try:
        yield
    except NotProven as error:
        raise NotProven(f"{path}: {error}") from error


def _anchors(path: Path) -> tuple[Certificate, ...]:
    try:
        return Certificate.from_pem(path.read_bytes())
    except GatepostError as error:
        raise ConfigError(f"{path}: {error}") from error


def _head(path: Path) -> Head:
    with path.open("rb") as file, _of(path):
        return exhibit.read_head(file.read(MAXIMUM_HEAD))


def _stamps(found: Proven, anchors: Sequence[Certificate]) -> tuple[Moment, ...]:
    if not anchors:
        return ()
    from gatepost.lookup import timestamp  # noqa: PLC0415  rare

    made = []
    for one in found.stamps:
        digest = found.digests.get(one.number)
        if digest is None:
            raise NotProven(f"a time stamp is over record {one.number}, which is not in the file")
        try:
            stamped = timestamp.verify(one.token, digest, anchors)
        except GatepostError as error:
            raise NotProven(f"the time stamp over record {one.number}: {error}") from error
        made.append(Moment(one.number, stamped.when))
    return tuple(made)
