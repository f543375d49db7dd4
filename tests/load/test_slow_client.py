"""A thousand clients that take their time, and people who want to send mail meanwhile."""

import asyncio
import logging
import smtplib
import time
from contextlib import suppress

import pytest
from tests.crash.scale import FULL, scaled
from tests.crash.test_kill import ALICE, BOB, UK, US
from tests.load.memory import MIB, Peak
from tests.patience import PATIENCE
from tests.peers.gateway import children
from tests.peers.lab import Lab
from tests.peers.letter import Letter
from tests.peers.postfix import free_port

SLOW = 1000
MAILS = scaled(150, 2000, "mails")
P99 = 1.0 if FULL else PATIENCE  # seconds for a mail; in CI other tests run beside it
PER_CLIENT = 100 * 1024  # octets of memory a waiting stranger may cost
# Where each of them stops to think: before a word, in one, in a header, in a body, after it.
STAGES = (b"", b"EH", b"EHLO slow.test\r\nMAIL FR", b"EHLO slow.test\r\nNOOP\r\nNO")
DATA = f"EHLO slow.test\r\nMAIL FROM:<m@slow.test>\r\nRCPT TO:<{ALICE}>\r\nDATA\r\n".encode()
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 if FULL else 300)]
_log = logging.getLogger(__name__)


class Crowd:
    """Slow clients from many addresses, none of which we trust."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self.lost = 0

    async def gather(self) -> None:
        """Connect all of them."""
        for number in range(SLOW):
            source = f"127.8.{number // 200}.{number % 200 + 1}"
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._port, local_addr=(source, 0)
            )
            assert (await reader.readline()).startswith(b"220")
            stage = number % (len(STAGES) + 2)
            writer.write(STAGES[stage] if stage < len(STAGES) else DATA)
            if stage > len(STAGES):
                writer.write(b"Subject: slow\r\n\r\nsl")
            self._writers.append(writer)

    async def linger(self) -> None:
        """Say a letter now and then."""
        while True:
            for writer in self._writers:
                if writer.is_closing():
                    continue
                with suppress(OSError):
                    writer.write(b"x")
            await asyncio.sleep(1)

    def held(self) -> int:
        """How many are still there."""
        return sum(not one.is_closing() for one in self._writers)

    def leave(self) -> None:
        """All go."""
        for one in self._writers:
            one.close()


def submit(port: int) -> float:
    """One mail of our people's; the seconds it took."""
    begun = time.monotonic()
    with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
        client.sendmail(ALICE, [BOB], Letter(ALICE, BOB, body=b"Good morning.\r\n" * 50).octets)
        return time.monotonic() - begun


async def test_slow_clients(lab: Lab) -> None:
    """A thousand idle connections cost an attacker nothing; they must not cost us the mail."""
    sink = lab.mailbox()
    edits = {
        'trusted = ["127.0.0.0/8"': 'trusted = ["127.0.0.1/32"',
        "[vault]": f"[limits]\nconnections = {2 * SLOW}\n\n[vault]",
    }
    us = lab.planned(US, sink.port, sink.port, edits=edits)
    uk = lab.planned(UK, free_port(), free_port())
    us.trust(uk)
    us.start()
    assert us.process is not None
    pids = [us.process.pid, *children(us.process.pid)]
    await asyncio.to_thread(submit, us.port)
    crowd = Crowd(us.port)
    with Peak(pids) as peak:
        await crowd.gather()
        lingering = asyncio.create_task(crowd.linger())
        times: list[float] = []

        async def people() -> None:
            for _ in range(MAILS // 5):
                times.append(await asyncio.to_thread(submit, us.port))
                await asyncio.sleep(0.02)

        await asyncio.gather(*(people() for _ in range(5)))
        held = crowd.held()
        lingering.cancel()
    crowd.leave()
    times.sort()
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    figures = {
        "slow connections": held,
        "mails": len(times),
        "p50 s": round(p50, 3),
        "p99 s": round(p99, 3),
        "slowest s": round(times[-1], 3),
        "memory grew MiB": peak.growth // MIB,
    }
    _log.info("%s", figures)
    assert held > SLOW * 0.95
    assert p99 < P99
    assert peak.growth < SLOW * PER_CLIENT
