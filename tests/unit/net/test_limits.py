"""What one client, or a thousand of them, cannot do to the others."""

import asyncio
import resource
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_network

import pytest
from tests.conftest import ROOT
from tests.dialogues.company import Company
from tests.patience import PATIENCE, soon
from tests.unit.net.scene import (
    HELLO,
    HOST,
    OPEN,
    SERVER,
    Caller,
    calling,
    envelope,
    listening,
    relaying,
)

from gatepost.mail.content import Octets
from gatepost.mail.delivery import NextHop
from gatepost.net.peer import site
from gatepost.net.rate import Rate
from gatepost.net.roster import ConnectionLimits
from gatepost.net.settings import EdgeSettings, RelaySettings

DATA = b"DATA\r\n"
HERE = (ip_network("127.0.0.0/8"),)


async def assert_sent_away(caller: Caller, pieces: Iterable[bytes]) -> None:
    """A client that goes on talking is told 421."""
    heard = asyncio.create_task(caller.hear(1000))
    for piece in pieces:
        caller.say(piece)
        await asyncio.sleep(0.02)
        if heard.done():
            break
    with suppress(ConnectionResetError):  # our words crossed its last one: the kernel drops that
        assert (await heard)[-1] == 421


async def test_dripping_a_command_is_no_progress() -> None:
    """An octet every few minutes holds a connection for ever."""
    settings = EdgeSettings(SERVER, command_timeout=0.3)
    async with listening(settings=settings) as listener, calling(listener.port) as caller:
        await assert_sent_away(caller, (bytes([octet]) for octet in b"EHLO client.example" * 3))


async def test_a_message_that_crawls() -> None:
    """A thousand clients with an octet a second use up all memory and places."""
    settings = EdgeSettings(SERVER, rate_grace=0.2, minimum_rate=10_000)
    async with listening(settings=settings) as listener, calling(listener.port) as caller:
        caller.say(HELLO + OPEN + DATA)
        await caller.hear(4)
        await assert_sent_away(caller, [b"x\r\n"] * 100)


async def test_a_transaction_without_end() -> None:
    """A busy client keeps one transaction open for days."""
    settings = EdgeSettings(SERVER, transaction_timeout=0.3)
    async with listening(settings=settings) as listener, calling(listener.port) as caller:
        caller.say(HELLO + OPEN)
        await caller.hear(3)
        await assert_sent_away(caller, [b"NOOP\r\n"] * 100)


async def test_a_chunk_that_never_comes() -> None:
    """BDAT announces more than the client will ever send."""
    settings = EdgeSettings(SERVER, data_timeout=0.2)
    for before in (HELLO + OPEN, b""):
        async with listening(settings=settings) as listener, calling(listener.port) as caller:
            caller.say(before + b"BDAT 99999999999999\r\nhalf")
            assert (await caller.hear(9))[-1] == 421


@pytest.mark.parametrize("is_trusted", [False, True])
async def test_rates(is_trusted: bool) -> None:
    """A stranger floods us, or our own server is held up like one."""
    limits = ConnectionLimits(connections_per_minute=3, messages_per_minute=2)
    settings = EdgeSettings(SERVER, trusted=HERE if is_trusted else ())
    async with listening(settings=settings, limits=limits) as listener:
        async with calling(listener.port) as caller:
            caller.say(HELLO + (OPEN + DATA + b".\r\n") * 3)
            heard = await caller.hear(13)
            assert heard[9:] == ([250] * 2 + [354, 250] if is_trusted else [450, 503, 503, 500])
        for _ in range(2):
            async with calling(listener.port) as caller:
                caller.say(b"NOOP\r\n")
                assert await caller.hear() == [250]
        reader, writer = await asyncio.open_connection(HOST, listener.port)
        assert (await reader.readline())[:3] == (b"220" if is_trusted else b"421")
        writer.close()


def test_buckets() -> None:
    """A limit never opens again, or forgets in the wrong moment."""
    rate = Rate(60, capacity=3)
    assert [rate.take("a", 0.0) for _ in range(61)] == [True] * 60 + [False]
    assert rate.take("a", 1.0)
    assert not rate.take("a", 1.5)
    for name in "bcd":
        assert rate.take(name, 2.0)
    assert rate.allows("a", 2.0)  # forgotten: the oldest of more than three
    assert all(Rate(0).take("a", 0.0) for _ in range(1000))


def test_sites() -> None:
    """One customer with 2^64 addresses counts as so many."""
    assert site("2001:db8::1") == site("2001:db8::ffff:1") == "2001:db8::/64"
    assert site("::ffff:192.0.2.1") == "192.0.2.1"
    assert site("nonsense") == "nonsense"


async def test_a_full_house_makes_room() -> None:
    """Silent strangers hold every place, and neither strangers nor our own server get in."""
    for patience, code in ((3600.0, b"421"), (0.0, b"220")):  # nobody has been silent for long
        limits = ConnectionLimits(total=3, per_peer=50, reserve=1, patience=patience)
        async with listening(limits=limits) as listener:
            callers = [await asyncio.open_connection(HOST, listener.port) for _ in range(3)]
            for reader, _ in callers:
                assert (await reader.readline())[:3] == b"220"
            reader, writer = await asyncio.open_connection(HOST, listener.port)
            assert (await reader.readline())[:3] == code
            if code == b"220":
                said = await asyncio.wait_for(callers[0][0].read(), PATIENCE)
                assert said.startswith(b"421")
            for _, one in (*callers, (reader, writer)):
                one.close()


async def _slow(port: int, stop: asyncio.Event) -> None:
    """A slow-loris: half a command, then an octet now and then."""
    _, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"EHLO ")
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), 2.0)
        except TimeoutError:
            writer.write(b"x")
    writer.close()


async def test_a_thousand_idle_connections() -> None:
    """A thousand slow connections stop the mail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    company, stop = Company(), asyncio.Event()
    limits = ConnectionLimits(total=1000, per_peer=2000, patience=0.5)
    took: list[float] = []
    try:
        async with listening(company, limits=limits) as listener:
            port = listener.port
            slow = [asyncio.create_task(_slow(port, stop)) for _ in range(1000)]
            await soon(lambda: listener.connections >= 1000)
            for _ in range(100):
                begun = time.perf_counter()
                async with calling(port) as caller:
                    caller.say(HELLO + OPEN + DATA + b"Subject: x\r\n.\r\nQUIT\r\n")
                    assert await caller.hear(6) == [250, 250, 250, 354, 250, 221]
                took.append(time.perf_counter() - begun)
            stop.set()
            await asyncio.gather(*slow)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(company.kept) == 100
    assert sorted(took)[50] < 1.0  # the benchmarks look at the slowest, on a quiet machine


async def test_the_relay_forgets_hops() -> None:
    """Every host mail was ever sent to stays in memory."""
    async with (
        listening() as listener,
        relaying(RelaySettings(idle_timeout=1)) as relay,
    ):
        for hop in (NextHop(HOST, listener.port), NextHop(HOST, 1)):
            await relay.deliver(hop, envelope(), Octets(b"x\r\n"))
        assert len(relay._pools) == 1  # the one with an idle connection
        await soon(lambda: relay._pools == {})


LOAD = """
import asyncio, resource, sys, tempfile
from tests.dialogues.company import Company
from tests.unit.net.scene import HELLO, HOST, OPEN, listening
from gatepost.mail.content import Octets
from gatepost.mail.reply import Reply
from gatepost.net.roster import ConnectionLimits

class File:
    def __init__(self): self._file, self._size = tempfile.TemporaryFile(), 0
    def write(self, octets): self._file.write(octets); self._size += len(octets)
    def finish(self): self._file.close(); return Octets(b"")
    def discard(self): self._file.close()

class Disk(Company):
    def sink(self): return File()
    def message(self, session, envelope, content): return Reply(250, "2.0.0", "Kept")

async def send(port, octets):
    reader, writer = await asyncio.open_connection(HOST, port, limit=1 << 16)
    writer.write(HELLO + OPEN + b"DATA\\r\\n")
    block = (b"x" * 78 + b"\\r\\n") * 800
    for _ in range(octets // len(block)):
        writer.write(block)
        await writer.drain()
    writer.write(b".\\r\\nQUIT\\r\\n")
    assert b"221" in await reader.read()
    writer.close()

async def main(count, octets):
    async with listening(Disk(), limits=ConnectionLimits(per_peer=1000)) as listener:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await asyncio.gather(*(send(listener.port, octets) for _ in range(count)))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
"""


async def grown(count: int, octets: int) -> int:
    """KiB of memory that so many parallel messages cost client and server together."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOAD, str(count), str(octets),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    return int(out)


async def test_memory_under_parallel_large_mails() -> None:
    """Large mails at the same time use up the memory: it must not grow with their size."""
    small, large = await grown(40, 1 << 20), await grown(40, 4 << 20)
    assert large < 80 * 1024, f"{large} KiB"
    assert large < 2 * small + 20 * 1024
