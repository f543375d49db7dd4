"""Checks of the authorities outside that certificates come from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

from gatepost.admin.check.directory import readable
from gatepost.admin.check.registry import (
    Answer,
    Installation,
    Unready,
    bad,
    check,
    good,
    skip,
    warn,
)
from gatepost.engine.issuer import Surroundings, issuer
from gatepost.engine.journal import Journal
from gatepost.engine.service import Stores
from gatepost.enrol.source import Answering, CertificateSource
from gatepost.errors import GatepostError

_PATIENCE = 60.0  # seconds for one source
_LATER = "mail of people without certificates waits until it does"


@check("SRC-01", "authorities outside answer")
def sources_answer(place: Installation) -> Iterator[Answer]:
    """Each [[certificate_source]] is made as the gateway makes it, and asked whether it is there.

    No certificate is asked for. A source whose kind has no such question is only made.
    """
    if not place.right.certificate_source:
        yield skip("certificates come from the embedded CA alone")
        return
    for name, source in made(place):
        if isinstance(source, GatepostError):
            yield bad(str(source), "see [[certificate_source]]")
        elif isinstance(source, Answering):
            yield _answer(name, source, place)
        else:
            yield good(f"{name}: can be asked; whether it answers shows with the next request")


def made(place: Installation) -> Iterator[tuple[str, CertificateSource | GatepostError]]:
    """Every source, or why it cannot be made."""
    readable(place).close()  # or it is not opened at all, for that could change it
    try:
        stores = Stores.open(place.right)
    except GatepostError as error:
        raise Unready("needs directory and vault (DIR-01, KEY-01)") from error
    around = Surroundings(
        place.right, stores.directory, stores.vault, lambda: place.now, Journal(lambda: place.now)
    )
    with closing(stores):
        for one in place.right.certificate_source:
            try:
                yield one.name, issuer(one, around)
            except GatepostError as error:
                yield one.name, error


def _answer(name: str, source: Answering, place: Installation) -> Answer:
    async def asked() -> str:
        async with asyncio.timeout(_PATIENCE):
            return await source.answers(place.now)

    try:
        return good(f"{name}: {asyncio.run(asked())}")
    except GatepostError as error:
        return warn(f"{name}: {error}", _LATER)
    except TimeoutError:
        return warn(f"{name} does not answer in {_PATIENCE:g} s", _LATER)
    except Exception as error:  # noqa: BLE001  a plug-in: whatever it raises
        return warn(f"{name}: {type(error).__name__}: {error}", _LATER)
