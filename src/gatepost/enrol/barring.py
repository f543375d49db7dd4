"""Who left, or is suspended, gets no new certificate by himself, and has no other to go on with.

A certificate revoked for such a reason bars its owner, whoever issued it.  What somebody gives
him afterwards counts: then he is back.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from gatepost.certificate import Certificate
from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox
from gatepost.store.directory import Directory
from gatepost.store.ledger import Revoked
from gatepost.store.record import Address, KeyPurpose, StoredKey

BARRING: Final = frozenset(
    {"affiliationChanged", "cessationOfOperation", "privilegeWithdrawn", "certificateHold"}
)


def beside(directory: Directory, certificate: Certificate, now: datetime) -> Iterator[Certificate]:
    """What its owner could use instead: of an earlier time, or from another authority."""
    held = directory.key_of(certificate)
    if held is None:
        return
    for mailbox in owners(certificate):
        for key in directory.keys_for(mailbox):
            one = key.certificate
            if one != certificate and one.not_after > now and _same(key.purpose, held.purpose):
                yield one


def owners(certificate: Certificate) -> Iterator[Mailbox]:
    """The mailboxes it names."""
    for address in certificate.emails:
        try:
            yield Mailbox.parse(address)
        except Malformed:  # a stranger's certificate may name what it likes
            continue


def barring(directory: Directory, address: Address, kind: KeyPurpose) -> str:
    """Why an address gets no new certificate of this kind by itself; empty: it does."""
    revoked = directory.revoked()
    if not revoked:
        return ""
    found = [
        (key, directory.ledger.of(key.certificate) if _is_in(key, revoked) else None)
        for key in directory.keys_for(address)
        if _same(key.purpose, kind)
    ]
    left = [taken for _, taken in found if taken is not None and taken.reason in BARRING]
    if not left:
        return ""
    last = max(left, key=lambda one: one.at)
    return "" if any(_came_after(key, taken, last) for key, taken in found) else last.reason


def _came_after(key: StoredKey, taken: Revoked | None, last: Revoked) -> bool:
    """Whether somebody gave it to him since: what there was then was taken, or had ended."""
    if taken is None:
        return key.certificate.not_after > last.at
    return taken.reason not in BARRING and taken.at > last.at


def _is_in(key: StoredKey, revoked: frozenset[str]) -> bool:
    return key.certificate.fingerprint in revoked


def _same(one: KeyPurpose, other: KeyPurpose) -> bool:
    """Whether both serve a purpose."""
    return one == other or ("both" in {one, other} and "authority" not in {one, other})
