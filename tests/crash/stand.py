"""A whole gateway in the test's process, its next hops and its DNS, on a layer of faults."""

import asyncio
import logging
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from tests.crash.fault import Fault, Faults, Point
from tests.crash.hop import Hop
from tests.crash.secret import assert_absent, text
from tests.crash.test_kill import ALICE, BOB, MANDATORY, UK, US
from tests.patience import PATIENCE
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter
from tests.peers.postfix import free_port
from tests.unit.lookup.zone import NameServer, serving
from tests.unit.net.scene import self_signed

from gatepost.config import load
from gatepost.engine import backend, delivery, service
from gatepost.engine.journal import Journal
from gatepost.engine.service import Service, utc_now
from gatepost.events import Event
from gatepost.net.settings import RelaySettings
from gatepost.store.contract import QueueControl

_log = logging.getLogger(__name__)
_NUMBERS = count()
IDLE = 0.6  # seconds in which what is done in passing comes along


Install = Callable[[pytest.MonkeyPatch], Faults]


@dataclass(frozen=True)
class Tls:
    """What the tests' ends of the connections have."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def made_tls(folder: Path) -> Tls:
    """A certificate that nobody knows, and a client that does not mind."""
    pem = self_signed(folder)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem.certificate, pem.key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    return Tls(server, client)


@dataclass
class Stand:
    """A whole gateway in this process, its next hops, and the layer of faults beneath it."""

    gateway: Gateway
    world: Hop
    home: Hop
    names: NameServer
    faults: Faults
    service: Service
    control: QueueControl
    tls: ssl.SSLContext | None = None  # a client's; None: in clear text
    events: list[Event] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    async def submit(self, letter: Letter) -> int:
        """Submit over a socket; the last reply's code, or 0 when the gateway hung up."""
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
                try:
                    return await _converse(reader, writer, letter, self.tls)
                finally:
                    writer.close()
        except (OSError, EOFError):
            return 0

    async def settled(self, letter: Letter, patience: float = PATIENCE) -> str:
        """What became of an acknowledged mail; the administrator asks for retries meanwhile."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if letter.id in self.world.ids:
                return "delivered"
            if letter.id in self.home.reported:
                return "bounced"
            await asyncio.sleep(0.02)
            items = await asyncio.to_thread(self.control.retry, "all")
            kept = () if items else await asyncio.to_thread(self.control.list)
            if kept and kept[0].state != "active":  # as a second copy is that comes this moment
                return kept[0].state
        return "lost"

    async def has_fired(self) -> bool:
        """Whether the fault came; in a moment, if it is in what is done in passing."""
        end = time.monotonic() + IDLE
        while not self.faults.fired and time.monotonic() < end:  # noqa: ASYNC110  threads fire
            await asyncio.sleep(0.02)
        return bool(self.faults.fired)

    def forget(self) -> None:
        """Make the next mail ask for everything anew, as the first one of a minute does."""
        self.service.stores.directory.change_setting("torture", str(next(_NUMBERS)))

    async def empty(self) -> None:
        """Wait until the queue is; what is held was counted and is deleted."""
        end = time.monotonic() + PATIENCE
        while items := await asyncio.to_thread(self.control.retry, "all"):
            assert time.monotonic() < end, items
            await asyncio.sleep(0.02)
        for item in await asyncio.to_thread(self.control.list):
            await asyncio.to_thread(self.control.delete, item.id)


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    letter: Letter,
    tls: ssl.SSLContext | None,
) -> int:
    code = await _reply(reader)
    if tls is not None and code < 400:
        for line in (b"EHLO client.test\r\n", b"STARTTLS\r\n"):
            writer.write(line)
            code = await _reply(reader)
        if code >= 400:
            return code
        await writer.start_tls(tls)
    body = letter.octets.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    for line in (
        b"EHLO client.test\r\n",
        f"MAIL FROM:<{letter.sender}>\r\n".encode(),
        f"RCPT TO:<{letter.to}>\r\n".encode(),
        b"DATA\r\n",
        body,
    ):
        if code >= 400:
            return code
        writer.write(line)
        await writer.drain()
        code = await _reply(reader)
    return code


async def _reply(reader: asyncio.StreamReader) -> int:
    while line := await reader.readline():
        if line[3:4] != b"-":
            return int(line[:3])
    raise EOFError


@pytest.fixture
async def stand(
    request: pytest.FixtureRequest,
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    install: Install,
    tls: Tls | None,
) -> AsyncIterator[Stand]:
    """A gateway ready for trouble."""
    async with AsyncExitStack() as stack:
        hops = [Hop(tls.server if tls else None) for _ in range(2)]
        world, home = [await stack.enter_async_context(one) for one in hops]
        us = lab.planned(US, home.port, world.port)
        uk = lab.planned(UK, free_port(), free_port())
        us.trust(uk)
        us.policy(MANDATORY)
        uk.command("cert", "issue", BOB, "--kind", "encrypt")
        uk.command("cert", "export", BOB, "--output", str(us.folder / "bob.pem"))
        us.command("cert", "import", str(us.folder / "bob.pem"))
        names = await stack.enter_async_context(
            serving({f"{UK} MX": ["10 mail.test."], "mail.test A": ["127.0.0.1"]})
        )
        names.ttl = 0
        tables = f'[resolver]\nservers = ["127.0.0.1:{names.port}"]\ntimeout = "1s"\nipv6 = false\n'
        if engine == "postgres":
            address = request.getfixturevalue("server").fresh().url
            tables += f'[database]\naddress = "{address}"\n'
        level = "required" if tls else "none"
        mx = f'outbound = {{ mx = true, port = {world.port}, tls = "{level}" }}'
        fixed = f'outbound = {{ host = "127.0.0.1", port = {world.port}, tls = "none" }}'
        us.edit({"[vault]": f"{tables}[vault]", fixed: mx})
        if engine == "postgres":
            us.command("database", "fill")
        patient = partial(
            RelaySettings, greeting_timeout=1, command_timeout=1, block_timeout=1,
            final_timeout=1, connect_timeout=1, idle_timeout=0.01, spare_timeout=0.01,
        )  # fmt: skip
        monkeypatch.setattr(service, "RelaySettings", patient)
        monkeypatch.setattr(delivery, "_AGAIN", timedelta(seconds=0.2))
        faults = install(monkeypatch)
        settings = load(us.config)
        journal = Journal(utc_now)
        running = Service(settings, journal=journal)
        await running.start()
        made = Stand(us, world, home, names, faults, running, backend.control(settings))
        journal.observe(made.events.append)
        made.tls = tls.client if tls else None
        yield made
        await made.service.stop()


Try = tuple[Point, Fault]


async def enumerate_points(stand: Stand, size: int) -> tuple[Point, ...]:
    """What a mail without faults calls."""
    await stand.submit(Letter(ALICE, BOB, body=text(size)))  # the first one enrols Alice
    await stand.empty()
    stand.forget()
    stand.faults.disarm()
    letter = Letter(ALICE, BOB, body=text(size))
    assert await stand.submit(letter) == 250
    assert await stand.settled(letter) == "delivered"
    await asyncio.sleep(IDLE)
    return stand.faults.points()


async def endure(stand: Stand, tries: Sequence[Try], size: int) -> int:
    """A mail for each fault; returns how many faults came."""
    fired = 0
    for number, (point, fault) in enumerate(tries, 1):
        letter = Letter(ALICE, BOB, body=text(size))
        stand.forget()
        stand.faults.arm(point, fault)
        code = await stand.submit(letter)
        what = f"{point.where} #{point.nth}: {fault.name} → {code}"
        assert code in (0, 250) or 400 <= code < 500, f"{what}: trouble of ours is no refusal"
        if code == 250:
            became = await stand.settled(letter)
            assert became == "delivered" or fault.name == "lying", f"{what}: {became}"
            assert became != "lost", what
            stand.outcomes[became] += 1
        else:
            stand.outcomes[str(code)] += 1
        fired += await stand.has_fired()
        stand.faults.disarm()
        if code != 250:  # the peer sends it again, and now it goes
            code = await eventually(stand, letter)
            assert code == 250, f"{what}: nothing is accepted any more, but {code}"
            assert await stand.settled(letter) == "delivered", what
        await stand.empty()
        if number % 100 == 0:
            _log.info("%s of %s faults endured", number, len(tries))
    return fired


async def eventually(stand: Stand, letter: Letter) -> int:
    """Submit until it is accepted, as a mail server does."""
    code, end = 0, time.monotonic() + PATIENCE
    while time.monotonic() < end:
        code = await stand.submit(letter)
        if code == 250:
            break
        await asyncio.sleep(0.1)
    return code


async def conclude(stand: Stand) -> None:
    """Nothing is left, nothing was in clear, and a restart finds nothing amiss."""
    await stand.service.stop()
    assert not [one.fields for one in stand.events if "left behind" in str(one.fields)]
    assert stand.world.clear == 0
    assert_absent([stand.gateway.folder])
    stand.service = Service(load(stand.gateway.config))
    await stand.service.start()
    letter = Letter(ALICE, BOB)
    assert await stand.submit(letter) == 250
    assert await stand.settled(letter) == "delivered"
    await stand.empty()
