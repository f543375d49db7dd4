"""Every call to a socket and to TLS fails once: what was acknowledged is delivered or bounced."""

import gc
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash.fault import Faults, kind
from tests.crash.scale import FULL
from tests.crash.socket_fault import FAULTS, Sockets
from tests.crash.stand import (
    Install,
    Stand,
    Tls,
    conclude,
    endure,
    enumerate_points,
    made_tls,
    stand,
)
from tests.crash.test_fault import SIZES, chosen
from tests.patience import soon

__all__ = ["stand"]
_OURS = {"clear": ("recv", "send"), "tls": ("recv_into", "send")}
SAMPLE = 6  # in the short form, of ways to fail
CASES = [
    (size, way)
    for size in SIZES
    for way in ("clear", "tls")
    if FULL or (size, way) in {("small", "clear"), ("large", "tls")}
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500 if FULL else 300),
    # asyncio's own, of a handshake that failed; that the socket is closed is tested.
    pytest.mark.filterwarnings("ignore:unclosed transport <asyncio._SSLProto:ResourceWarning"),
]


@pytest.fixture(autouse=True)
def _swept() -> Iterator[None]:
    """What is left of such handshakes goes here, not amid another test."""
    yield
    gc.collect()


@pytest.fixture
def engine() -> str:
    """What is called of it is in `test_fault`."""
    return "sqlite"


@pytest.fixture
def tls(way: str, tmp_path: Path) -> Tls | None:
    """STARTTLS with the client and with the next hop, or not."""
    return made_tls(tmp_path) if way == "tls" else None


@pytest.fixture
def sockets() -> Sockets:
    """The layer."""
    return Sockets(Faults())


@pytest.fixture
def install(sockets: Sockets) -> Install:
    """Under asyncio."""

    def installed(patch: pytest.MonkeyPatch) -> Faults:
        sockets.install(patch)
        return sockets.faults

    return installed


@pytest.mark.parametrize(("size", "way"), CASES)
async def test_every_call(stand: Stand, sockets: Sockets, size: str, way: str) -> None:
    """A network in trouble would swallow a mail that was acknowledged, or eat up descriptors."""
    points = await enumerate_points(stand, SIZES[size])
    everything = [(point, fault) for point in points for fault in FAULTS[kind(point)]]
    known = {point.where for point in points}
    assert {f"socket.{call} of net.listener.Listener._accept" for call in _OURS[way]} <= known
    assert {f"socket.{call} of net.relay.Relay._dialled" for call in _OURS[way]} <= known
    assert any(kind(point) == "tls.write" for point in points) is (way == "tls")
    tries = chosen(everything, SAMPLE)
    fired = await endure(stand, tries, SIZES[size])
    await soon(lambda: not Counter(sockets.open()), "sockets that nobody closes")
    await conclude(stand)
    figures = {
        "size": size,
        "way": way,
        "calls": len(points),
        "ways to fail": len(everything),
        "tried": len(tries),
        "fired": fired,
        **stand.outcomes,
    }
    logging.getLogger(__name__).info("%s", figures)
    assert fired > (len(tries) // 2 if FULL else 0)
