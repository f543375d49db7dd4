"""Time stamps of OpenSSL's authority: asked for, checked offline, and refused when they lie."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from tests.peers.stamper import Stamper
from tests.pki_builder import company

from gatepost.errors import GatepostError, Malformed, Refused, Unavailable
from gatepost.lookup.download import Download
from gatepost.lookup.resolver import Resolver, ResolverSettings
from gatepost.lookup.timestamp import ask, verify

pytestmark = pytest.mark.peer("openssl")

DIGEST, OTHER = "ab" * 32, "cd" * 32
DOWNLOAD = Download(Resolver(ResolverSettings((("127.0.0.1", 9),))), (ip_network("127.0.0.0/8"),))


@pytest.fixture
async def stamper(tmp_path: Path) -> AsyncIterator[Stamper]:
    """A running authority."""
    made = Stamper(tmp_path / "tsa")
    await made.server.start()
    yield made
    await made.server.stop()


async def test_stamped_and_checked(stamper: Stamper) -> None:
    """Nobody could prove later when evidence was there."""
    token = await ask(DOWNLOAD, stamper.url, DIGEST, stamper.certificates)
    found = verify(token, DIGEST, stamper.certificates)
    assert abs(found.when - datetime.now(UTC)) < timedelta(minutes=10)
    with pytest.raises(Refused):
        verify(token, OTHER, stamper.certificates)
    with pytest.raises(Refused):
        verify(token, DIGEST, [company().certificate])
    position = token.index(b"1.2.3") if b"1.2.3" in token else len(token) - 20
    broken = bytearray(token)
    broken[position] ^= 1
    with pytest.raises(GatepostError):
        verify(bytes(broken), DIGEST, stamper.certificates)


async def test_an_authority_that_lies_or_is_away(stamper: Stamper) -> None:
    """A token over something else would be kept as if it proved anything."""
    old = await ask(DOWNLOAD, stamper.url, OTHER, ())
    said = [old, b"", b"\x30\x03\x02\x01\x02", b"<html>", bytes.fromhex("30053003020102")]
    said.append(bytes.fromhex("300c30030201003005060100a000"))  # nothing is in its token

    async def fetch(url: str, maximum: int, *, body: bytes = b"", kind: str = "") -> bytes:
        assert url and maximum and body and kind  # noqa: PT018  all of it is needed
        return said.pop(0)

    while said:
        with pytest.raises((Malformed, Refused)):
            await ask(fetch, stamper.url, OTHER, ())
    stamper.is_dead = True
    with pytest.raises(Unavailable):
        await ask(DOWNLOAD, stamper.url, DIGEST, ())
