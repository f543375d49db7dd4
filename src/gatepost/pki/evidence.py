"""What is known of revocation at a time, and what was found with it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar

from gatepost.certificate import Certificate
from gatepost.pki.crl import Crl
from gatepost.pki.ocsp import Answer
from gatepost.pki.place import names_place

# RFC 5280 section 5.3.1: the key was in its owner's hands until then.
HARMLESS = frozenset({"affiliationChanged", "superseded", "cessationOfOperation"})
SKEW = timedelta(minutes=5)  # an authority's clock may be ahead of ours
MAXIMUM_KEPT = 16384  # verdicts and signatures
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

Status = Literal["good", "revoked", "unknown"]
Item = TypeVar("Item")
Key = TypeVar("Key")
Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one certificate, and from where."""

    certificate: Certificate
    status: Status
    reason: str = ""
    source: Literal["", "crl", "ocsp"] = ""
    when: datetime | None = None  # it was revoked
    this_update: datetime | None = None  # of the list or answer that says so
    proofs: tuple[Crl | Answer, ...] = field(default=(), repr=False)  # all that it was told by
    stapled: bool = False  # those came with the signature

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "certificate": self.certificate.name,
            "fingerprint": self.certificate.fingerprint,
            "status": self.status,
            "reason": self.reason,
            "source": self.source,
            "stapled": self.stapled,
            "revoked": self.when.isoformat() if self.when else None,
            "this_update": self.this_update.isoformat() if self.this_update else None,
            "proofs": [one.digest for one in self.proofs],
        }

    def __str__(self) -> str:
        if self.status == "revoked":
            when = f" on {self.when:%Y-%m-%d}" if self.when else ""
            return f"{self.certificate.name!r} was revoked{when} ({self.reason})"
        if self.status == "unknown":
            return f"whether {self.certificate.name!r} is revoked is not known: {self.reason}"
        return f"{self.certificate.name!r} is not revoked"


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known of revocation at a time.  Equal only to itself, so that verdicts are kept."""

    lists: tuple[Crl, ...] = ()
    answers: tuple[Answer, ...] = ()
    certificates: tuple[Certificate, ...] = ()  # of those who sign lists for others
    required: bool = True  # whether a path with an unknown certificate is refused
    where_told: bool = False  # required only of certificates that say where to ask
    grace: timedelta = timedelta()  # how long a list or answer counts after its end
    signed: datetime | None = None  # what was signed before a harmless revocation still counts
    stapled: Evidence | None = None  # what the signer brought: asked where the rest does not know
    memory: dict[object, object] = field(default_factory=dict, repr=False)
    by_issuer: Mapping[bytes, tuple[Crl, ...]] = field(init=False, repr=False)
    by_serial: Mapping[int, tuple[Answer, ...]] = field(init=False, repr=False)
    turns: tuple[datetime, ...] = field(init=False, repr=False)

    @classmethod
    def of(
        cls,
        statements: Iterable[Crl | Answer | None],
        *,
        required: bool = True,
        where_told: bool = False,
        grace: timedelta = timedelta(),
        signed: datetime | None = None,
    ) -> Evidence:
        """Made of lists and answers in any order; what could not be read is none."""
        found = tuple(statements)
        return cls(
            tuple(one for one in found if isinstance(one, Crl)),
            tuple(one for one in found if isinstance(one, Answer)),
            required=required,
            where_told=where_told,
            grace=grace,
            signed=signed,
        )

    def __post_init__(self) -> None:
        newest = sorted(
            self.lists, key=lambda one: (one.this_update, one.number or 0), reverse=True
        )
        latest = sorted(self.answers, key=lambda one: one.produced, reverse=True)
        object.__setattr__(self, "by_issuer", _grouped(newest, lambda one: (one.issuer,)))
        object.__setattr__(self, "by_serial", _grouped(latest, lambda one: one.serials))
        object.__setattr__(self, "turns", tuple(sorted(self._turns())))

    def _turns(self) -> Iterator[datetime]:
        for begin, end in (
            *((one.this_update, one.next_update) for one in self.lists),
            *((begin, end) for one in self.answers for begin, end in one.spans),
        ):
            yield moved(begin, -SKEW)
            if end is not None:  # the end itself still counts
                yield moved(end, self.grace + timedelta(seconds=1))

    def demands(self, certificate: Certificate) -> bool:
        """Whether "unknown" of this certificate counts as "revoked"."""
        return self.required and (not self.where_told or names_place(certificate))

    def forgives(self, finding: Finding) -> bool:
        """Whether a revocation came after the signature, and says nothing against the key.

        The time is the signer's own claim: whoever has a stolen key can claim any.
        """
        if self.signed is None or finding.when is None or finding.when <= self.signed:
            return False
        return finding.reason in HARMLESS

    def tells_against(self, certificate: Certificate) -> bool:
        """Whether anything, even what counts no more, says that it was revoked."""
        issuer = certificate.folded_issuer
        lists = self.by_issuer.get(issuer, ())
        answers = self.by_serial.get(certificate.serial, ())
        return any(one.entry(issuer, certificate.serial) for one in lists) or any(
            each.status == "revoked" and each.serial == certificate.serial
            for one in answers
            for each in one.singles
        )

    def epoch(self, moment: datetime) -> int:
        """Between two turns nothing begins or ends, so that verdicts stay."""
        return bisect_right(self.turns, moment)

    def keep(self, key: object, value: Kept) -> Kept:
        """Remember something that goes when the evidence goes."""
        if len(self.memory) >= MAXIMUM_KEPT:
            self.memory.clear()
        self.memory[key] = value
        return value

    def current(self, begin: datetime, end: datetime | None, moment: datetime) -> str:
        """Why something does not count now; empty when it does."""
        if begin > moment + SKEW:
            return "it is from the future"
        if end is None:
            return "it does not say how long it counts"
        if moment > moved(end, self.grace):
            return f"it was to be renewed by {end:%Y-%m-%d %H:%M} UTC"
        return ""


def moved(moment: datetime, by: timedelta) -> datetime:
    """A moment later or earlier; beyond the calendar its end, for lists may count until 9999."""
    try:
        return moment + by
    except OverflowError:
        return _LAST if by > timedelta() else _FIRST


def _grouped(
    items: Iterable[Item], keys: Callable[[Item], Iterable[Key]]
) -> dict[Key, tuple[Item, ...]]:
    found: dict[Key, list[Item]] = {}
    for one in items:
        for key in keys(one):
            found.setdefault(key, []).append(one)
    return {key: tuple(some) for key, some in found.items()}
