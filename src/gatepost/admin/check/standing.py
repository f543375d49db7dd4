"""Checks of what must be looked after: revocation, the root's list, others' certificates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from gatepost.admin.check.directory import readable
from gatepost.admin.check.registry import Answer, Installation, check, good, skip, warn
from gatepost.engine.upkeep import LIST_SOON
from gatepost.enrol.local import ROOT

_SOON = timedelta(days=30)
_USED = timedelta(days=30)
_SHOWN = 5
_MAXIMUM = 200


@check("REV-01", "revocation of others is asked")
def is_asked(place: Installation) -> Iterator[Answer]:
    """Whether anybody is asked if a correspondent's certificate was revoked.

    With "off", a stolen key counts until its certificate ends, and nobody hears of it.
    """
    asked = place.right.revocation
    off = [name for name in ("outbound", "inbound") if getattr(asked, name) == "off"]
    for name in off:
        yield warn(f"nobody is asked: {name} is off", f'[revocation] {name} = "soft"')
    if not off:
        yield good(f"outbound {asked.outbound}, inbound {asked.inbound}")


@check("REV-02", "places of revocation answer")
def places_answer(place: Installation) -> Iterator[Answer]:
    """Lists and responders that mail has asked in the last month, and that failed the last time.

    Their last good answer counts until its end; then certificates are unknown.
    """
    with readable(place) as directory:
        failing = directory.statuses.failing(place.now - _USED, _MAXIMUM)
    for one in failing[:_SHOWN]:
        yield warn(f"{one.place}: {one.fault}", "open the way to it, or ask whose it is")
    if len(failing) > _SHOWN:
        yield warn(f"{len(failing) - _SHOWN} more do not answer")
    if not failing:
        yield good("every place that mail has asked has answered")


@check("REV-03", "everybody can read what is signed")
def is_read_by_everybody(place: Installation) -> Iterator[Answer]:
    """Whether signatures carry along what old programs do not expect.

    With OCSP answers inside, Thunderbird and gpgsm cannot read the mail at all.
    """
    if place.right.revocation.staple == "answers":
        text = (
            "signatures carry OCSP answers: whoever has Thunderbird or gpgsm reads no mail of ours"
        )
        yield warn(text, '[revocation] staple = "lists", unless all partners can')
    else:
        yield good(f"staple {place.right.revocation.staple}")


@check("CA-02", "the root's revocation list is in time")
def root_list_is_in_time(place: Installation) -> Iterator[Answer]:
    """A root whose key lies in a safe signs its list once a year.

    When the list ends, everybody who asks takes our certificates for unknown.
    """
    with readable(place) as directory:
        name = directory.setting(ROOT)
        if name is None or not place.right.public.url:
            yield skip("no authority of our own whose list anybody could fetch ([public] url)")
            return
        root = directory.entry(name).certificate
        found, is_here = directory.ledger.published(root), directory.key_of(root) is not None
    if is_here:
        yield good("the root's key is here: its list is signed when it is due")
        return
    fix = "gatepost ca import-root FILE signs a new one"
    if found is None:
        yield warn("the root has no list, and its key is not here", fix)
    elif found.next_update - place.now < LIST_SOON:
        yield warn(f"the root's list ends on {found.next_update:%Y-%m-%d}", fix)
    else:
        yield good(f"until {found.next_update:%Y-%m-%d}")


@check("CRT-02", "certificates of others are in time")
def others_are_in_time(place: Installation) -> Iterator[Answer]:
    """Certificates that an administrator filed for correspondents, and CAs that are trusted.

    When they end, mail to them cannot be encrypted: ask for the next one before.
    """
    with readable(place) as directory:
        ending = directory.alerts.ending(place.now, place.now + _SOON)
        soon = [one for one in ending if directory.key_of(one) is None]
    for one in soon[:_SHOWN]:
        name = one.emails[0] if one.emails else one.name
        text = f"{name} ends {one.not_after:%Y-%m-%d}, {one.fingerprint[:16]}"
        yield warn(text, "ask its owner for the next one: gatepost cert import FILE")
    if len(soon) > _SHOWN:
        yield warn(f"{len(soon) - _SHOWN} more end within {_SOON.days} days")
    if not soon:
        yield good(f"none ends within {_SOON.days} days")
