"""Responses to challenge mails: stored with the mail's acceptance, once, whoever gets the mail."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.engine.desk import Desk
from tests.unit.flow.test_respond import ALICE, CA, FIRST, MAIL, SECOND, THUMBPRINT
from tests.world import NOW

from gatepost.config.acme import Acme
from gatepost.engine.journal import Journal
from gatepost.engine.respond import Challenges, Respondent
from gatepost.enrol.expectation import Expectations
from gatepost.errors import Unavailable
from gatepost.events import Event, Name
from gatepost.flow.challenge import Expected
from gatepost.flow.fact import Answers, ChallengeFor, Fact
from gatepost.mail.address import Mailbox
from gatepost.mail.content import join
from gatepost.store.directory import Directory
from gatepost.store.queue_control import Control
from gatepost.store.queue_id import Identifier
from gatepost.store.queue_item import Item

PERSON = Mailbox.parse(ALICE)
CHALLENGE = MAIL.replace("\n", "\r\n").encode()
SOURCES = {"ca": Acme(url="https://ca.example/directory", require_proof=True, authserv_id="mx")}
LENIENT = {"ca": Acme(url="https://ca.example/directory")}


@dataclass
class Company:
    """Several gateways with one directory, in which Alice's order waits."""

    folder: Path
    directory: Directory
    desks: list[Desk] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def expectations(self) -> Expectations:
        """Which orders wait."""
        return Expectations(self.directory.register)

    def ordered(self) -> None:
        """Alice's order waits for its mail."""
        assert self.expectations.begin(PERSON, "one", "ca", NOW)
        self.settled()

    def settled(self) -> None:
        """It is known who will write."""
        self.expectations.settle(
            PERSON,
            "one",
            sender=CA,
            token=SECOND,
            thumbprint=THUMBPRINT,
            until=NOW + timedelta(days=1),
        )

    def challenges(self, patience: float = 5.0) -> Challenges:
        """What is expected."""
        return Challenges(self.expectations, LENIENT, lambda: NOW, patience)

    def desk(self, **more: Any) -> Desk:
        """One more gateway."""
        journal = Journal(lambda: NOW)
        journal.observe(self.events.append)
        made = Desk(
            self.folder / str(len(self.desks)),
            respondent=Respondent(self.directory, journal, Identifier(bytes), lambda _: "outbound"),
            **more,
        )
        known = made.gather

        async def gather(facts: frozenset[Fact], generation: int | None = None) -> Answers:
            answers = dict(await known(facts, generation))
            for one in facts:
                if isinstance(one, ChallengeFor):
                    answers[one] = await self.challenges(0.0).expected(one.mailbox)
            return answers

        object.__setattr__(made.parts, "gather", gather)
        self.desks.append(made)
        return made

    def responses(self) -> list[Item]:
        """What was answered."""
        found = [one for desk in self.desks for one in desk.submitted.items]
        return [one for one in found if b"BEGIN ACME RESPONSE" in join(one.content)]

    def told(self) -> list[Name]:
        """What was noted."""
        return [one.name for one in self.events]


@pytest.fixture
async def company(tmp_path: Path) -> AsyncIterator[Company]:
    with Directory(tmp_path / "directory.sqlite") as directory:
        made = Company(tmp_path, directory)
        yield made
        for desk in made.desks:
            await desk.close()


async def test_a_response_is_stored_before_the_reply(company: Company, tmp_path: Path) -> None:
    """The authority's server is told 250, and nobody answers it."""
    company.ordered()
    reply = await company.desk().mail(CHALLENGE, ALICE, sender=CA)
    assert reply.code == 250
    (one,) = company.responses()
    assert one.hop == "outbound"
    assert (str(one.envelope.return_path), [str(to) for to in one.envelope.recipients]) == (
        ALICE,
        [CA],
    )
    assert f"Re: ACME: {FIRST}".encode() in join(one.content)
    assert company.desks[0].submitted.items == [one]  # the challenge itself goes nowhere
    assert company.told() == [Name.CHALLENGE_ANSWERED]
    (noted,) = Control(tmp_path / "0").records(reply.text.split()[-1])
    assert json.loads(noted.data)["reason"] == f"ACME challenge of {CA}: answered to {CA} for ca"


async def test_what_is_not_accepted_is_not_answered(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at the wrong moment, and the challenge counts as answered for ever."""
    company.ordered()
    desk = company.desk()
    accept = desk.queue.accept

    async def fails(*_: object) -> Sequence[Item]:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(desk.queue, "accept", fails)
    assert (await desk.mail(CHALLENGE, ALICE, sender=CA)).code == 451
    assert company.told() == []
    monkeypatch.setattr(desk.queue, "accept", accept)
    assert (await desk.mail(CHALLENGE, ALICE, sender=CA)).code == 250
    assert len(company.responses()) == 1


async def test_of_several_nodes_one_answers(company: Company) -> None:
    """RFC 8823 section 3: "MUST NOT respond to the same challenge email more than once"."""
    company.ordered()
    desks = [company.desk() for _ in range(3)]
    replies = await asyncio.gather(*(one.mail(CHALLENGE, ALICE, sender=CA) for one in desks))
    assert [one.code for one in replies] == [250] * 3
    assert len(company.responses()) == 1


async def test_monitor_mode(company: Company) -> None:
    """An order that was placed cannot be fulfilled while somebody only looks."""
    company.ordered()
    desk = company.desk(monitored=frozenset({"both"}))
    await desk.mail(CHALLENGE, ALICE, sender=CA)
    assert len(company.responses()) == 1
    assert CHALLENGE in [join(one.content) for one in desk.submitted.items]


async def test_without_an_order_nothing_is_answered(company: Company) -> None:
    """Anybody has the gateway write mails in Alice's name."""
    desk = company.desk()
    assert (await desk.mail(CHALLENGE, ALICE, sender=CA)).code == 250
    assert not company.responses()
    (one,) = desk.submitted.items
    assert b"ACME: " in join(one.content)


async def test_an_order_being_placed_is_waited_for(company: Company) -> None:
    """A challenge that overtakes the answer telling of it is delivered and never answered."""
    assert company.expectations.begin(PERSON, "one", "ca", NOW)
    asked = asyncio.create_task(company.challenges(patience=60).expected(PERSON))
    await asyncio.sleep(0)
    assert not asked.done()
    await asyncio.to_thread(company.settled)
    found = await asked
    assert found.challenge is not None
    assert found.challenge.sender == Mailbox.parse(CA)


async def test_if_it_takes_long_the_peer_waits(company: Company) -> None:
    """A connection is held as long as an authority is slow."""
    assert company.expectations.begin(PERSON, "one", "ca", NOW)
    assert await company.challenges(patience=0).expected(PERSON) == Expected(unsettled=True)
    assert (await company.desk().mail(CHALLENGE, ALICE, sender=CA)).code == 451


async def test_settings_of_the_source_count(company: Company) -> None:
    """Proof that is wanted is not asked for."""
    company.ordered()
    found = await Challenges(company.expectations, SOURCES, lambda: NOW).expected(PERSON)
    assert found.challenge is not None
    assert (found.challenge.proof, found.challenge.boundary) == (True, "mx")
    removed = await Challenges(company.expectations, {"x": SOURCES["ca"]}, lambda: NOW).expected(
        PERSON
    )
    assert removed == Expected()
