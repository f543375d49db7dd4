"""A gateway between a session and a real queue, in one process: facts from a dict, no network."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from tests.conftest import ROOT
from tests.unit.store.box import Clock, TestSeal
from tests.world import World

from gatepost.config import parse
from gatepost.engine.bounce import Bouncer
from gatepost.engine.gateway import Gateway, Parts
from gatepost.engine.journal import Journal
from gatepost.engine.routing import Routes
from gatepost.events import Event
from gatepost.flow.context import Context
from gatepost.flow.fact import Answer, Answers, Fact
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.net.application import SessionInfo
from gatepost.store.queue import Queue
from gatepost.store.queue_id import Identifier
from gatepost.store.queue_item import Item

SETTINGS = """
[gateway]
hostname = "gate.xyz.example"
domains = ["xyz.example"]
[[listener]]
bind = "127.0.0.1:0"
direction = "both"
[next_hop]
inbound = "127.0.0.1:10026"
outbound = "127.0.0.1:10027"
[vault]
key_environment = "KEY"
"""


@dataclass
class Submitted:
    """What was handed to delivery, which gives back what is not to be sent now."""

    queue: Queue
    items: list[Item] = field(default_factory=list)

    def submit(self, items: Iterable[Item]) -> None:
        """Keep them."""
        new = tuple(items)
        self.items += new
        self.queue.release(one for one in new if one.state != "active")


class Asking:
    """A gatherer that has nothing at hand."""

    def __init__(self, desk: "Desk") -> None:
        self._desk = desk

    def at_hand(self, _facts: frozenset[Fact], _generation: int | None) -> None:
        """Nothing."""

    async def __call__(self, facts: frozenset[Fact], generation: int | None = None) -> Answers:
        """What the desk is told to answer."""
        return await self._desk.gather(facts, generation)


class Desk:
    """One gateway under a policy; `facts` may change while it runs."""

    def __init__(
        self,
        folder: Path,
        policy: str = "",
        facts: Mapping[Fact, Answer] | None = None,
        **more: Any,
    ) -> None:
        self.world = World.under(policy, dict(facts or {}))
        self.clock = Clock(self.world.now)
        self.queue = Queue(folder, TestSeal(), clock=self.clock)
        self.submitted = Submitted(self.queue)
        self.fault: Exception | None = None
        self.events: list[Event] = []
        self.journal = Journal(self.clock)
        self.journal.observe(self.events.append)
        self.settings = parse(SETTINGS, ROOT / "gatepost.toml")
        self.routes = Routes(self.settings)
        self.identify = Identifier(bytes)
        self.bouncer = Bouncer("gate.xyz.example", self.routes.back, self.identify, lambda: "token")
        self.parts = Parts(
            listeners={one.label: one for one in self.settings.listener},
            domains=self.world.domains,
            context=self.context,
            queue=self.queue,
            delivery=cast("Any", self.submitted),
            directory=cast("Any", None),
            gather=cast("Any", Asking(self)),
            routes=self.routes,
            bouncer=self.bouncer,
            journal=self.journal,
            identify=self.identify,
            **more,
        )
        self.gateway = Gateway(self.parts)

    def context(self) -> Context:
        """A snapshot."""
        return replace(self.world.context(), now=self.clock())

    async def gather(self, facts: frozenset[Fact], generation: int | None = None) -> Answers:
        """Answer from the world, or fail as told."""
        if self.fault is not None:
            raise self.fault
        return {one: self.world.answer(one) for one in facts}

    async def mail(
        self,
        content: bytes,
        *to: str | Recipient,
        sender: str | None = "alice@xyz.example",
        session: SessionInfo | None = None,
        **more: Any,
    ) -> Reply:
        """Play MAIL, RCPT and the end of data; returns the first refusal or the last reply."""
        session = session or SessionInfo("both", "127.0.0.1", 4711, helo="mail.xyz.example")
        people = tuple(
            one if isinstance(one, Recipient) else Recipient(Mailbox.parse(one)) for one in to
        )
        envelope = Envelope(Mailbox.parse(sender) if sender else None, people, **more)
        reply = self.gateway.sender(session, envelope)
        for one in people:
            if reply.is_positive:
                found = self.gateway.recipient(session, envelope, one)
                reply = found if isinstance(found, Reply) else await found
        if not reply.is_positive:
            return reply
        answer = await self.gateway.message(session, envelope, Octets(content))
        return answer if isinstance(answer, Reply) else answer[0]

    async def close(self) -> None:
        """Close the queue."""
        await self.gateway.settle()
        await asyncio.to_thread(self.queue.close)
