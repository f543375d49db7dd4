"""Certificates of our people taken back and given back, and what somebody has to do besides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from gatepost.admin.access import opened
from gatepost.admin.certificate import Found, find_one
from gatepost.certificate import Certificate
from gatepost.engine.service import Stores
from gatepost.enrol.barring import BARRING, owners
from gatepost.enrol.revocation import Revocation
from gatepost.enrol.status import FLAGS
from gatepost.errors import ConfigError, Refused
from gatepost.mail.address import Mailbox
from gatepost.store.record import Entry

REASONS = tuple(sorted(set(FLAGS) - {"removeFromCRL"}))
_UNHEARD = "nobody is told: certificates name no place to ask until [public] url is set"


def revoke(config: Path | None, which: str, reason: str, now: datetime, *, new: bool) -> Found:
    """Take a certificate back at once; its key stays, to decrypt with.

    One from outside is only used no more: its authority has to be told by somebody.  Who left
    loses all he has for the same purpose, and what was asked for him.
    """
    if reason not in REASONS:
        raise ConfigError(f"{reason!r} is no reason", hint=f"one of {', '.join(REASONS)}")
    with opened(config) as (_, stores):
        entry = find_one(stores, which)
        one, does = entry.certificate, Revocation(stores.directory, stores.authority)
        is_ours = does.is_ours(one)
        if not is_ours and entry.key_purpose is None:
            raise Refused(
                f"{one.name!r} was not issued by this authority, and its key is not here: "
                f"gatepost cert deny {one.fingerprint[:16]} stops its use"
            )
        taken = does.revoke(one, reason, now)
        if not taken:
            raise Refused(f"{one.name} was revoked before")
        remarks = list(_told(does, taken))
        if reason in BARRING:
            remarks += _given_up(stores, one)
        issued = _succeeded(stores, entry, now) if new and is_ours else ()
        if new and not is_ours:
            addresses = " and ".join(use.address for use in entry.uses)
            remarks.append(f"its successor is asked for by: gatepost cert request {addresses}")
        kept = (stores.directory.entry(each.fingerprint) for each in (*taken[1:], *issued))
        return Found((entry, *kept), tuple(remarks))


def release(config: Path | None, which: str, now: datetime) -> Found:
    """End the suspension of a certificate that was revoked with certificateHold."""
    with opened(config) as (_, stores):
        entry = find_one(stores, which)
        if not Revocation(stores.directory, stores.authority).release(entry.certificate, now):
            raise Refused(f"{entry.certificate.name} is not suspended")
        return Found((entry,))


def _told(does: Revocation, taken: Sequence[Certificate]) -> Iterator[str]:
    """Who hears of it, and who does not."""
    authority = does.authority
    ours = [one for one in taken if does.is_ours(one)]
    if ours and authority is not None and not authority.pointers.url:
        yield _UNHEARD
    for one in taken:
        if one not in ours:
            issuer = one.x509.issuer.rfc4514_string()
            what = f"have {issuer} revoke the serial number {one.serial:x}"
            yield f"the key only decrypts from now on; nobody else knows: {what}"


def _given_up(stores: Stores, one: Certificate) -> Iterator[str]:
    """What was being asked for at other authorities: it would come, and be used."""
    requests = stores.directory.requests
    for mailbox in owners(one):
        for asked in requests.of(mailbox):
            if requests.drop(asked):
                yield f"what was asked for {mailbox} at {asked.source!r} is given up"


def _succeeded(stores: Stores, entry: Entry, now: datetime) -> tuple[Certificate, ...]:
    authority = stores.authority
    assert authority is not None  # as it has issued this one
    kind = entry.key_purpose
    if kind is None or kind == "authority":
        return ()
    addresses = [use.address for use in entry.uses if not use.address.startswith("@")]
    return tuple(authority.issue(Mailbox.parse(one), kind, now) for one in addresses)
