"""Every call on a mail's way fails once: what was acknowledged is delivered, held or bounced."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count
from typing import TypeVar

import pytest
from tests.crash.fault import FAULTS, Fault, Faults, Point, installed, kind
from tests.crash.hop import DEEDS, STAGES, Hop
from tests.crash.scale import FULL
from tests.crash.secret import assert_absent, text
from tests.crash.test_kill import ALICE, BOB, MANDATORY, UK, US
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter
from tests.peers.postfix import free_port
from tests.unit.lookup.zone import SERVFAIL, NameServer, serving

from gatepost.config import load
from gatepost.engine import backend, delivery, service
from gatepost.engine.service import Service
from gatepost.net.settings import RelaySettings
from gatepost.store.contract import QueueControl

_NUMBERS = count()
_IDLE = 0.6  # seconds in which what is done in passing comes along
SAMPLE, DEED_SAMPLE = 12, 4  # in the short form, of ways to fail
T = TypeVar("T")
SIZES = {"small": 2_000, "large": 300_000}  # the large one goes through the spool
ENGINES = ("sqlite", "postgres")
CASES = [
    (engine, size)
    for engine in ENGINES
    for size in SIZES
    if FULL or (engine, size) in {("sqlite", "large"), ("postgres", "small")}
]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if FULL else 120)]


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
    outcomes: Counter[str] = field(default_factory=Counter)

    async def submit(self, letter: Letter) -> int:
        """Submit over a socket; the last reply's code, or 0 when the gateway hung up."""
        try:
            async with asyncio.timeout(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
                try:
                    return await _converse(reader, writer, letter)
                finally:
                    writer.close()
        except (OSError, EOFError):
            return 0

    async def settled(self, letter: Letter, patience: float = 20) -> str:
        """What became of an acknowledged mail; the administrator asks for retries meanwhile."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if letter.id in self.world.ids:
                return "delivered"
            if letter.id in self.home.reported:
                return "bounced"
            await asyncio.sleep(0.02)
            items = await asyncio.to_thread(self.control.retry, "all")
            if not items and (kept := await asyncio.to_thread(self.control.list)):
                return kept[0].state
        return "lost"

    async def has_fired(self) -> bool:
        """Whether the fault came; in a moment, if it is in what is done in passing."""
        end = time.monotonic() + _IDLE
        while not self.faults.fired and time.monotonic() < end:  # noqa: ASYNC110  threads fire
            await asyncio.sleep(0.02)
        return bool(self.faults.fired)

    def forget(self) -> None:
        """Make the next mail ask for everything anew, as the first one of a minute does."""
        self.service.stores.directory.change_setting("torture", str(next(_NUMBERS)))

    async def empty(self) -> None:
        """Wait until the queue is; what is held was counted and is deleted."""
        end = time.monotonic() + 20
        while items := await asyncio.to_thread(self.control.retry, "all"):
            assert time.monotonic() < end, items
            await asyncio.sleep(0.02)
        for item in await asyncio.to_thread(self.control.list):
            await asyncio.to_thread(self.control.delete, item.id)


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, letter: Letter
) -> int:
    code = await _reply(reader)
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
    request: pytest.FixtureRequest, lab: Lab, monkeypatch: pytest.MonkeyPatch, engine: str
) -> AsyncIterator[Stand]:
    """A gateway ready for trouble."""
    async with AsyncExitStack() as stack:
        world, home = [await stack.enter_async_context(Hop()) for _ in range(2)]
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
        mx = f'outbound = {{ mx = true, port = {world.port}, tls = "none" }}'
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
        faults = installed(monkeypatch)
        settings = load(us.config)
        running = Service(settings)
        await running.start()
        made = Stand(us, world, home, names, faults, running, backend.control(settings))
        yield made
        await made.service.stop()


def chosen(every: list[T], sample: int) -> list[T]:
    """All of them, or some that are others each time."""
    return every if FULL else random.sample(every, min(sample, len(every)))


async def enumerate_points(stand: Stand, size: int) -> list[tuple[Point, Fault]]:
    """What a mail without faults calls, and every way in which that can fail."""
    await stand.submit(Letter(ALICE, BOB, body=text(size)))  # the first one enrols Alice
    await stand.empty()
    stand.forget()
    stand.faults.disarm()
    letter = Letter(ALICE, BOB, body=text(size))
    assert await stand.submit(letter) == 250
    assert await stand.settled(letter) == "delivered"
    await asyncio.sleep(_IDLE)
    return [(point, fault) for point in stand.faults.points() for fault in FAULTS[kind(point)]]


@pytest.mark.parametrize(("engine", "size"), CASES)
async def test_every_call(stand: Stand, size: str) -> None:
    """A disk, database, vault or network in trouble would swallow a mail that was acknowledged."""
    everything = await enumerate_points(stand, SIZES[size])
    tries = chosen(everything, SAMPLE)
    fired = 0
    for point, fault in tries:
        letter = Letter(ALICE, BOB, body=text(SIZES[size]))
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
    await conclude(stand)
    figures = {
        "size": size,
        "calls": len({point for point, _ in everything}),
        "ways to fail": len(everything),
        "tried": len(tries),
        "fired": fired,
        **stand.outcomes,
    }
    logging.getLogger(__name__).info("%s", figures)
    assert fired > len(tries) // 2


async def eventually(stand: Stand, letter: Letter) -> int:
    """Submit until it is accepted, as a mail server does."""
    code = 0
    for _ in range(50):
        code = await stand.submit(letter)
        if code == 250:
            break
        await asyncio.sleep(0.1)
    return code


async def conclude(stand: Stand) -> None:
    """Nothing is left, nothing was in clear, and a restart finds nothing amiss."""
    await stand.service.stop()
    assert stand.world.clear == 0
    assert_absent([stand.gateway.folder])
    stand.service = Service(load(stand.gateway.config))
    await stand.service.start()
    letter = Letter(ALICE, BOB)
    assert await stand.submit(letter) == 250
    assert await stand.settled(letter) == "delivered"
    await stand.empty()


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
    await enumerate_points(stand, SIZES["small"])
    table = dict(stand.names.table)
    outages: dict[str, dict[str, object]] = {
        "fails": {f"{UK} MX": SERVFAIL},
        "is silent": {f"{UK} MX": None},
        "fails for the server": {**table, "mail.test A": SERVFAIL},
    }
    for what, dead in outages.items():
        letter = Letter(ALICE, BOB)
        stand.names.table = dead
        assert await stand.submit(letter) == 250
        assert await stand.settled(letter, 2) == "lost", what  # it waits
        stand.names.table = table
        assert await stand.settled(letter) == "delivered", what
        await stand.empty()
    stand.names.table = {}
    letter = Letter(ALICE, BOB)
    assert await stand.submit(letter) == 250
    assert await stand.settled(letter) == "bounced"  # no such domain: that is an answer
    stand.names.table = table
    await conclude(stand)
