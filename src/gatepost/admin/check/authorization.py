"""Check whether our domains let the authorities issue that our people's certificates come from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from gatepost.admin.check.registry import Answer, Installation, Unready, check, good, skip, warn
from gatepost.admin.check.source import made
from gatepost.config import Settings
from gatepost.config.identity import Identity
from gatepost.enrol.source import Identified
from gatepost.errors import GatepostError
from gatepost.lookup.caa import TAG, Permission, permission
from gatepost.mail.address import domain_key

_QUICK: Final = timedelta(seconds=1)
_PATIENCE: Final = 60.0  # seconds for one source


@check("SRC-02", "domains let their authorities issue")
def domains_let_them(place: Installation) -> Iterator[Answer]:
    """Looks up the CAA records with issuemail of the domains an authority outside certifies for.

    Public authorities have to refuse what those records do not allow (RFC 9495). The embedded
    CA is yours and bound by none: what partners think of it does not come from the DNS.
    """
    settings = place.right
    if not settings.certificate_source:
        yield skip("certificates come from the embedded CA alone, which no CAA record binds")
        return
    names = dict(_names(place))
    asked = {one.name: _domains(settings, one.name) for one in settings.certificate_source}
    try:
        found = asyncio.run(_permissions(settings, set().union(*asked.values())))
    except GatepostError as error:
        raise Unready(f"the DNS does not answer: {error}") from error
    for source, domains in asked.items():
        for domain in sorted(domains):
            yield _judged(source, names.get(source, ()), domain, found[domain])


def _judged(source: str, names: tuple[str, ...], domain: str, found: Permission) -> Answer:
    where = f"{domain} ({found.place})" if found.place not in {"", domain} else domain
    if found.unknown:
        return warn(
            f"{where} has a critical CAA property that few authorities understand: "
            f"{', '.join(found.unknown)}",
            f"remove it, or ask whether {source} knows it",
        )
    if found.issuers is None:
        return good(f"{where} lets every authority issue for mail")
    allowed = ", ".join(found.issuers) or "nobody"
    if not names:
        return skip(
            f"{where} lets {allowed} issue for mail; under which name {source} goes is not known: "
            "see caa in [[certificate_source]]"
        )
    if found.lets(names):
        return good(f"{where} lets {source} issue for mail")
    return warn(
        f"{where} lets {allowed} issue for mail, not {' or '.join(names)}, which is {source}",
        f'publish a CAA record: {found.place} CAA 0 {TAG} "{names[0]}"',
    )


def _names(place: Installation) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Under which names each authority goes, as configured or as it says itself."""
    told = {one.name: one.caa for one in place.right.certificate_source if one.caa}
    for name, caa in told.items():
        yield name, (caa,)
    for name, source in made(place) if len(told) < len(place.right.certificate_source) else ():
        if name not in told and isinstance(source, Identified):
            yield name, _asked(source, place)


def _asked(source: Identified, place: Installation) -> tuple[str, ...]:
    async def asked() -> tuple[str, ...]:
        async with asyncio.timeout(_PATIENCE):
            return await source.identities(place.now)

    try:
        return asyncio.run(asked())
    except Exception:  # noqa: BLE001  SRC-01 says what is wrong with it
        return ()


async def _permissions(settings: Settings, domains: set[str]) -> dict[str, Permission]:
    from gatepost.engine.courier import resolver  # noqa: PLC0415  0.2 s, where DNS is asked

    asks = resolver(replace(settings, resolver=replace(settings.resolver, timeout=_QUICK)))
    return {one: await permission(asks, one) for one in sorted(domains)}


def _domains(settings: Settings, source: str) -> set[str]:
    """Of ours, those whose people a rule may send to it; without a rule it may be any."""
    ours = {domain_key(one) for one in settings.gateway.domains}
    rules = [one for one in settings.identity if one.source == source]
    return {one for rule in rules for one in _of(rule, ours)} if rules else ours


def _of(rule: Identity, ours: set[str]) -> set[str]:
    named = {one.rpartition("@")[2].lower() for one in (*rule.addresses, *rule.patterns)}
    is_any = rule.list is not None or bool(rule.group) or any("*" in one for one in named)
    return ours if is_any or not named else ours & named
