"""Checks of who gets certificates: what rules read, and what is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

from gatepost.admin.check.directory import readable
from gatepost.admin.check.registry import Answer, Installation, bad, check, good, skip, warn
from gatepost.engine.enrolment import members
from gatepost.enrol.rule import Rules
from gatepost.errors import GatepostError

_LONG = timedelta(days=3)


@check("ID-01", "lists and groups of [[identity]] can be read")
def members_are_known(place: Installation) -> Iterator[Answer]:
    """Rules name people by lists in files and groups in LDAP.

    While one could never be read, nobody knows which rule is whose, and mail is answered 451.
    """
    settings = place.right
    named = [one for one in settings.identity if one.list or one.group]
    if not named:
        yield skip("no rule has a list or a group")
        return
    rules = Rules(settings.identity, members(settings))
    for fault in asyncio.run(rules.refresh()):
        yield bad(fault, "see [[identity]] group and [[ldap]]")
    for one in named:
        what = " and ".join(filter(None, (str(one.list or ""), one.group)))
        try:
            yield good(f"{what}: {len(rules.listed(one))} addresses")
        except GatepostError as error:
            if one.list:
                yield bad(str(error), "an address in each line, readable by the gateway's user")


@check("ID-02", "certificates that were asked for come")
def requests_are_answered(place: Installation) -> Iterator[Answer]:
    """Who waits for an authority outside cannot sign meanwhile.

    A request that was refused is not made again by itself.
    """
    with readable(place) as directory:
        requests = directory.requests.all()
    for one in requests:
        again = f"gatepost cert request {one.address}"
        if one.ended:
            yield warn(f"{one.source} refused one for {one.address}: {one.fault}", again)
        elif place.now - one.created > _LONG:
            why = one.fault or one.waits_for or "its turn"
            since = f"{one.created:%Y-%m-%d}"
            yield warn(f"{one.address} waits since {since} for {one.source}: {why}", again)
    if not requests:
        yield good("nothing is waited for")
    elif not any(one.ended or place.now - one.created > _LONG for one in requests):
        yield good(f"{len(requests)} are under way")
