"""When a list or an OCSP answer counts, and when to ask for the next one."""

from __future__ import annotations

from datetime import datetime, timedelta

from gatepost.errors import GatepostError, Malformed
from gatepost.pki.crl import Crl
from gatepost.pki.ocsp import Answer
from gatepost.pki.place import Status

SOONEST = timedelta(minutes=5)
LATEST = timedelta(days=1)
EARLY, SPREAD = 0.6, 0.2  # of its life: the next one is asked for between 60 and 80 %

Statement = Crl | Answer


def read(kind: str, der: bytes) -> Statement:
    """What a place says; raises Malformed."""
    return Crl.from_der(der) if kind == "crl" else Answer.from_der(der)


def recalled(status: Status) -> Statement | None:
    """What was kept, if it can still be read."""
    try:
        return read(status.kind, status.der) if status.der else None
    except GatepostError:
        return None


def check_newer(found: Statement, before: Statement | None) -> None:
    """Whoever plays back an old list would undo a revocation."""
    if before is not None and begins(found) < begins(before):
        raise Malformed("what was fetched is older than what was here")


def begins(one: Statement) -> datetime:
    """When it was said."""
    return one.this_update if isinstance(one, Crl) else one.produced


def ends(one: Statement) -> datetime:
    """Until when it counts; without an end it does not."""
    found = [one.next_update] if isinstance(one, Crl) else [end for _, end in one.spans]
    return min((end or begins(one) for end in found), default=begins(one))


def due(one: Statement, now: datetime, spread: float) -> datetime:
    """When to ask again, so that the next one is here before the end; not every node at once."""
    span = (ends(one) - begins(one)) * (EARLY + SPREAD * spread)
    return min(max(begins(one) + span, now + SOONEST), now + LATEST)
