"""Every call on a mail's way fails once: what was acknowledged is delivered, held or bounced."""

import logging
from typing import TypeVar

import pytest
from tests.crash.fault import FAULTS, installed, kind
from tests.crash.hop import DEEDS, STAGES
from tests.crash.scale import FULL
from tests.crash.secret import text
from tests.crash.stand import Install, Stand, conclude, endure, enumerate_points, stand
from tests.crash.test_kill import ALICE, BOB, UK
from tests.patience import PATIENCE
from tests.peers.letter import Letter
from tests.unit.lookup.zone import REFUSED, SERVFAIL

__all__ = ["stand"]
SAMPLE, DEED_SAMPLE, NAME_SAMPLE = 10, 4, 3  # in the short form, of ways to fail
OUTAGES: dict[str, object] = {"fails": SERVFAIL, "is refused": REFUSED, "has no answer": None}
T = TypeVar("T")
SIZES = {"small": 2_000, "large": 300_000}  # the large one goes through the spool
ENGINES = ("sqlite", "postgres")
CASES = [
    (engine, size)
    for engine in ENGINES
    for size in SIZES
    if FULL or (engine, size) in {("sqlite", "large"), ("postgres", "small")}
]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500 if FULL else 300)]


@pytest.fixture
def install() -> Install:
    """Under disk, database, vault and network."""
    return installed


@pytest.fixture
def tls() -> None:
    """In clear text."""


def chosen(every: list[T], sample: int) -> list[T]:
    """All of them, or some from all over."""
    return every if FULL else every[:: -(-len(every) // sample)]


@pytest.mark.parametrize(("engine", "size"), CASES)
async def test_every_call(stand: Stand, size: str) -> None:
    """A disk, database, vault or network in trouble would swallow a mail that was acknowledged."""
    points = await enumerate_points(stand, SIZES[size])
    everything = [(point, fault) for point in points for fault in FAULTS[kind(point)]]
    tries = chosen(everything, SAMPLE)
    fired = await endure(stand, tries, SIZES[size])
    await conclude(stand)
    figures = {
        "size": size,
        "calls": len(points),
        "ways to fail": len(everything),
        "tried": len(tries),
        "fired": fired,
        **stand.outcomes,
    }
    logging.getLogger(__name__).info("%s", figures)
    assert fired > (len(tries) // 2 if FULL else 0)


@pytest.mark.parametrize(("engine", "size"), CASES)
async def test_next_hop(stand: Stand, size: str) -> None:
    """A next hop that refuses, hangs or hangs up would be the end of a mail."""
    await enumerate_points(stand, SIZES[size])
    for stage, deed in chosen([(stage, deed) for stage in STAGES for deed in DEEDS], DEED_SAMPLE):
        letter = Letter(ALICE, BOB, body=text(SIZES[size]))
        stand.world.script, stand.world.done = (stage, deed), ""
        assert await stand.submit(letter) == 250
        became = await stand.settled(letter)
        stand.outcomes[became] += 1
        what = f"{stage} {deed}: {became}"
        assert stand.world.done == f"{stage} {deed}"
        refuses = deed == "5xx" and stage not in ("banner", "ehlo")  # those mean the server
        assert became == ("bounced" if refuses else "delivered"), what
        await stand.empty()
    await conclude(stand)
    logging.getLogger(__name__).info("%s", {"size": size, **stand.outcomes})


@pytest.mark.parametrize("engine", ENGINES if FULL else ENGINES[:1])
async def test_no_names(stand: Stand) -> None:
    """While the DNS is dead mail would bounce, though every domain is as it was."""
    stand.names.asked.clear()
    await enumerate_points(stand, SIZES["small"])
    table = dict(stand.names.table)
    questions = sorted(set(stand.names.asked))
    assert {f"{UK} MX", "mail.test A"} <= set(questions)
    outages = [(one, how) for one in questions for how in OUTAGES]
    for question, how in chosen(outages, NAME_SAMPLE):
        letter = Letter(ALICE, BOB)
        stand.names.table = {**table, question: OUTAGES[how]}
        stand.forget()
        what = f"{question} {how}"
        assert await stand.submit(letter) == 250, what
        must_wait = question in table
        became = await stand.settled(letter, 2 if must_wait else PATIENCE)
        stand.outcomes[f"{became}, {question.split()[1]}"] += 1
        assert became == ("lost" if must_wait else "delivered"), what  # not lost: it waits
        stand.names.table = table
        assert await stand.settled(letter) == "delivered", what
        await stand.empty()
    stand.names.table = {}
    letter = Letter(ALICE, BOB)
    assert await stand.submit(letter) == 250
    assert await stand.settled(letter) == "bounced"  # no such domain: that is an answer
    stand.names.table = table
    await conclude(stand)
    logging.getLogger(__name__).info("%s", {"questions": questions, **stand.outcomes})
