"""Renewal when the authority would have it (RFC 9773), and by our own rule when it does not say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.engine.outside import Outside
from tests.unit.engine.test_enroller import ALICE, BOB, OUTSIDE, Home, sign

from gatepost.certificate import Certificate
from gatepost.config.identity import Identity
from gatepost.engine.advisor import AFTER_FAULT, UNKNOWN, Advisor
from gatepost.engine.enroller import UPKEEP
from gatepost.engine.identity import renewal_of
from gatepost.enrol.source import Advice
from gatepost.errors import GatepostError, NotYet, Refused, Unavailable
from gatepost.events import Name

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WHY = "https://ca.example/why"


class Oracle(Outside):
    """An authority that says when to renew, as a test has it."""

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self.says: dict[Certificate, Advice | GatepostError] = {}
        self.fault: Exception | None = None
        self.heard: list[tuple[Certificate, ...]] = []

    async def advice(
        self, certificates: Sequence[Certificate], now: datetime
    ) -> Mapping[Certificate, Advice | GatepostError]:
        assert certificates
        self.heard.append(tuple(certificates))
        if self.fault is not None:
            raise self.fault
        return {one: said for one, said in self.says.items() if one in certificates}


@pytest.fixture
async def home(tmp_path: Path, now: datetime) -> Home:
    found = Home(tmp_path, now, OUTSIDE)
    found.outside = Oracle(now)
    return found


@pytest.fixture
def oracle(home: Home) -> Iterator[Oracle]:
    assert isinstance(home.outside, Oracle)
    yield home.outside
    home.directory.close()


async def issued(home: Home, oracle: Oracle) -> Certificate:
    oracle.answers = []
    with pytest.raises(NotYet):
        home.identities.ensure(ALICE, home.now)
    await home.enroller().look()
    return sign(home, ALICE)


async def early(home: Home, chance: float = 0.5) -> frozenset[Certificate]:
    asking = home.enroller()
    advisor = Advisor(home.identities, asking.sources, asking.journal, asking.clock, lambda: chance)
    return await advisor.early(UPKEEP)


async def test_renewed_in_the_window(home: Home, oracle: Oracle) -> None:
    """An authority that takes its certificates back would do so before there are others."""
    old = await issued(home, oracle)
    start = home.now + 100 * DAY
    oracle.says = {old: Advice(start, start + 10 * DAY, 6 * HOUR, WHY)}
    moment = start + 5 * DAY
    for at, is_early in (
        (home.now, False),
        (moment - 2 * UPKEEP, False),
        (moment - UPKEEP, True),
        (moment + DAY, True),
    ):
        home.now = at
        assert await early(home) == (frozenset({old}) if is_early else frozenset())
        assert await early(home, 0.0) == (frozenset({old}) if is_early else frozenset())  # drawn
    assert oracle.heard == [(old,)] * 3  # 6 hours have not passed once
    [told] = home.told(Name.CERTIFICATE_ADVISED)
    assert (told["source"], told["explanation"]) == ("outside", WHY)
    await home.enroller().keep()
    await home.enroller().look()
    assert oracle.wanted[-1].replacing == old
    new = sign(home, ALICE)
    assert new != old
    assert await early(home) == frozenset()
    text = home.directory.register.read("renewal.outside")
    assert text is None or old.fingerprint not in text  # what is replaced is forgotten


async def test_another_window(home: Home, oracle: Oracle) -> None:
    """A certificate that must go at once would be used until the day that was said before."""
    old = await issued(home, oracle)
    oracle.says = {old: Advice(home.now + 90 * DAY, home.now + 91 * DAY, HOUR)}
    assert await early(home) == frozenset()
    oracle.says = {old: Advice(home.now - DAY, home.now - HOUR, HOUR)}
    home.now += 2 * HOUR
    assert await early(home) == frozenset()  # it is of today: not again and again
    home.now += DAY
    assert await early(home) == frozenset({old})


@pytest.mark.parametrize("fault", [Unavailable("closed"), TimeoutError(), ValueError("bug")])
async def test_an_authority_in_trouble(home: Home, oracle: Oracle, fault: Exception) -> None:
    """A fault of the authority stops every renewal, or is told every hour, or to nobody."""
    old = await issued(home, oracle)
    oracle.fault = fault
    home.now = old.not_after - timedelta(days=29)
    other = home.authority.issue(BOB, "sign", home.now)
    assert other.emails == (BOB.key,)
    assert await early(home) == frozenset()  # our own rule has come: nobody is asked
    assert oracle.heard == []
    home.now = renewal_of(old) - DAY
    await home.enroller().keep()
    assert home.directory.requests.all() == ()
    said = [str(one["reason"]) for one in home.told(Name.SERVICE_ERROR)]
    assert len(said) == 1
    assert "outside does not say when to renew" in said[0]
    home.now = renewal_of(old) + HOUR
    await home.enroller().keep()
    assert home.request().replacing == old.fingerprint


async def test_one_certificate_in_trouble(home: Home, oracle: Oracle) -> None:
    """One that another authority issued is asked about every hour, and told each time."""
    old = await issued(home, oracle)
    oracle.says = {old: Refused("certificate not found")}
    for after in (0 * HOUR, HOUR, UNKNOWN, HOUR):
        home.now += after
        assert await early(home) == frozenset()
    assert len(oracle.heard) == 2
    assert len(home.told(Name.SERVICE_ERROR)) == 1
    start = home.now + DAY
    oracle.says = {old: Advice(start, start + HOUR, HOUR)}
    home.now += UNKNOWN
    assert await early(home, 1.0) == frozenset({old})
    oracle.says = {old: Unavailable("closed")}
    home.now += HOUR
    assert await early(home) == frozenset({old})  # what it said last counts
    assert len(home.told(Name.SERVICE_ERROR)) == 2
    assert len(oracle.heard) == 4
    home.now += AFTER_FAULT
    await early(home)
    assert len(oracle.heard) == 5


async def test_never_later_than_our_own_rule(home: Home, oracle: Oracle) -> None:
    """An authority that says "the day after its end" leaves people without certificates."""
    old = await issued(home, oracle)
    oracle.says = {old: Advice(old.not_after, old.not_after + DAY, HOUR)}
    home.now = renewal_of(old) - 2 * HOUR
    assert await early(home, 1.0) == frozenset()
    home.now = renewal_of(old) + timedelta(seconds=1)
    await home.enroller().keep()
    assert home.request().replacing == old.fingerprint
    window = Advice(renewal_of(old) - 10 * DAY, old.not_after, HOUR)
    advisor = Advisor(home.identities, {}, home.enroller().journal, lambda: home.now, lambda: 1.0)
    assert advisor._drawn(old, window) == renewal_of(old)


async def test_who_is_not_asked_about(home: Home, oracle: Oracle) -> None:
    """The authority is asked about other people's certificates, or for who gets none."""
    old = await issued(home, oracle)
    oracle.says = {old: Advice(home.now - DAY, home.now - HOUR, HOUR)}
    home.now += 2 * DAY
    for rules in ((), (Identity(source="outside", issue="never"),), (Identity(source="other"),)):
        home.use(*rules)
        assert await early(home) == frozenset()
    assert oracle.heard == []
    home.use()
    assert list(home.identities.keep(home.now, frozenset({old}))) == []
    assert home.directory.requests.all() == ()
