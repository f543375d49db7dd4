"""Alice's company, Bob's company, Eve between them: everything the demo plays with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime, make_msgid
from pathlib import Path

from gatepost.certificate import Certificate
from gatepost.demo.company import Company, Person
from gatepost.demo.exchange import Exchange
from gatepost.demo.tap import Recording, Tap
from gatepost.engine.service import utc_now
from gatepost.events import Event, Name
from gatepost.flow.decision import Decision, Done
from gatepost.flow.explain import render
from gatepost.mail.address import Mailbox
from gatepost.mail.reply import Reply
from gatepost.mime import headers
from gatepost.store.queue_control import Control

ALICE = Person("Alice", "alice@xyz.us.example")
BOB = Person("Bob", "bob@xyz.co.uk.example")
PATIENCE = 60.0  # seconds until a mail on loopback counts as lost

ALICES_POLICY = """\
[defaults]
sign = "always"
encrypt = "when-possible"

[[rule]]
name = "Our London office"
to = "xyz.co.uk.example"
encrypt = "mandatory"
"""

Changed = Callable[[Exchange], None]


class World:
    """Two companies and a tap on each direction of the wire between them."""

    def __init__(self, folder: Path, changed: Changed = lambda _exchange: None) -> None:
        self.alices = Company(folder / "us", "xyz.us.example", ALICE, self._arrived)
        self.bobs = Company(folder / "uk", "xyz.co.uk.example", BOB, self._arrived)
        self.exchanges: list[Exchange] = []
        self.changed = changed
        self._eastward = Tap(self._seen)
        self._westward = Tap(self._seen)
        self._travelling: Exchange | None = None
        self._delivered = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._decided: dict[str, str] = {}  # company's domain → queue id of its latest decision
        self._removed: tuple[Certificate, ...] = ()

    async def start(self) -> None:
        """Start everything and introduce the companies' CAs to each other."""
        await self._eastward.start()
        await self._westward.start()
        alices_root = await self.alices.start(world=self._eastward.port)
        bobs_root = await self.bobs.start(world=self._westward.port)
        self._eastward.target = self.bobs.public_port
        self._westward.target = self.alices.public_port
        self.alices.trust(self.bobs.domain, bobs_root)
        self.bobs.trust(self.alices.domain, alices_root)
        self.alices.rule(ALICES_POLICY)
        for company in (self.alices, self.bobs):
            company.journal.observe(lambda event, company=company: self._noted(company, event))  # type: ignore[misc]

    async def stop(self) -> None:
        """Stop everything."""
        await self.alices.stop()
        await self.bobs.stop()
        await self._eastward.stop()
        await self._westward.stop()

    async def introduce(self) -> Exchange:
        """Bob's first mail can only be signed; from it Alice's gateway learns his certificate."""
        text = "Dear Alice, this is my first mail to you. With it you have my certificate."
        return await self.send(BOB, "Good morning", text, "Bob introduces himself")

    async def send(
        self, author: Person, subject: str, text: str, label: str, *, tamper: bool = False
    ) -> Exchange:
        """Send one mail and wait until it was read or refused."""
        async with self._one_at_a_time:
            reader = BOB if author is ALICE else ALICE
            sender = self.alices if author is ALICE else self.bobs
            content = compose(author, reader, subject, text, utc_now())
            number = len(self.exchanges) + 1
            exchange = Exchange(number, label, author, reader, subject, text, content)
            self.exchanges.append(exchange)
            self._travelling = exchange
            self._delivered.clear()
            self._decided.clear()
            tap = self._eastward if author is ALICE else self._westward
            tap.tamper = tamper
            try:
                return await self._carried(exchange, sender)
            finally:
                tap.tamper = False

    async def _carried(self, exchange: Exchange, sender: Company) -> Exchange:
        author, reader, content = exchange.author, exchange.reader, exchange.content
        reply = await sender.server.submit(
            sender.submission_port, author.address, reader.address, content
        )
        exchange.reply, exchange.refused = str(reply), not reply.is_positive
        exchange.decision = self._explained(sender) or _refusal(exchange, reply)
        self.changed(exchange)
        if not exchange.refused:
            async with asyncio.timeout(PATIENCE):
                await self._delivered.wait()
            receiver = self.bobs if author is ALICE else self.alices
            await receiver.service.settle()  # the next mail may build on what this one taught
        return exchange

    def saw(self, octets: bytes) -> bool:
        """Whether Eve ever saw these octets, on either wire."""
        return self._eastward.saw(octets) or self._westward.saw(octets)

    @property
    def knows_bob(self) -> bool:
        """Whether Alice's gateway has a certificate for Bob."""
        return bool(self.alices.directory.candidates_for(BOB.mailbox))

    def forget_bob(self) -> None:
        """Remove Bob's certificate from Alice's gateway (`gatepost cert delete`)."""
        known = self.alices.directory.candidates_for(BOB.mailbox)
        self._removed = tuple(one.certificate for one in known)
        for certificate in self._removed:
            self.alices.directory.remove_certificate(certificate)

    def restore_bob(self) -> None:
        """Give it back (`gatepost cert import`)."""
        for certificate in self._removed:
            self.alices.directory.add_certificate(certificate, [BOB.mailbox], now=utc_now())

    def _seen(self, _recording: Recording, direction: str, octets: bytes) -> None:
        if self._travelling is not None:
            self._travelling.wire.append((direction, octets))
            self.changed(self._travelling)

    def _noted(self, company: Company, event: Event) -> None:
        if event.name in {Name.MESSAGE_ACCEPTED, Name.MESSAGE_REFUSED, Name.MESSAGE_HELD}:
            self._decided[company.domain] = event.queue_id

    def _arrived(self, mailbox: Mailbox, octets: bytes) -> None:
        exchange = self._travelling
        if exchange is None or mailbox.key != exchange.reader.mailbox.key:
            return
        exchange.arrived = octets
        reader = self.bobs if exchange.reader is BOB else self.alices
        decisions = self._decisions(reader)
        exchange.layers = decisions[0].layers if decisions else ()
        self._delivered.set()
        self.changed(exchange)

    def _explained(self, company: Company) -> str:
        return "\n".join(map(render, self._decisions(company)))

    def _decisions(self, company: Company) -> list[Decision]:
        queue_id = self._decided.get(company.domain)
        if queue_id is None:
            return []
        records = Control(company.service.settings.gateway.queue_folder).records(queue_id)
        return [
            Decision.from_data(json.loads(one.data))
            for one in records
            if one.name == Name.MESSAGE_DECIDED
        ]


def _refusal(exchange: Exchange, reply: Reply) -> str:
    """A refusal at RCPT is decided before there is a message to keep a record of."""
    return render(
        Decision(exchange.reader.address, exchange.author.address, Done.REFUSED, reply.text)
    )


def compose(author: Person, reader: Person, subject: str, text: str, now: datetime) -> bytes:
    """A mail as a mail program writes it."""
    fields = (
        ("From", f"{author.name} <{author.address}>"),
        ("To", f"{reader.name} <{reader.address}>"),
        ("Subject", subject),
        ("Date", format_datetime(now)),
        ("Message-ID", make_msgid(domain=author.mailbox.domain)),
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Transfer-Encoding", "8bit"),
    )
    header = b"".join(headers.compose(name, value) for name, value in fields)
    return header + b"\r\n" + text.replace("\n", "\r\n").encode() + b"\r\n"
