"""Issuers fetched from where certificates point to: what fits comes in, and nothing else."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from tests.peers.pages import Pages
from tests.pki_builder import Authority, root
from tests.unit.pki.places import pointing

from gatepost.certificate import Certificate
from gatepost.lookup.download import Download
from gatepost.lookup.issuer import FAILED, KEPT, MAXIMUM_DEPTH, MAXIMUM_SIZE, Issuers
from gatepost.lookup.resolver import Resolver, ResolverSettings
from gatepost.pki.issuer import gaps, places
from gatepost.pki.validate import Anchors, validate

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
LOOPBACK = (ip_network("127.0.0.0/8"),)
ROOT = root("Chased Root")
ANCHORS = Anchors(frozenset({ROOT.certificate}))


@pytest.fixture
def site() -> Iterator[Pages]:
    """A web server."""
    with Pages() as made:
        yield made


class Clock:
    """Stands still unless told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def issuers(clock: Clock, *, private: bool = True, patience: float = 20) -> Issuers:
    download = Download(Resolver(ResolverSettings()), LOOPBACK if private else (), patience=20)
    return Issuers(download, clock, patience)


def chain(site: Pages, length: int) -> Certificate:
    """A leaf below so many authorities, each of which only its child says where to find."""
    above = ROOT
    for number in range(length):
        made = above.authority(f"Chased {number}")
        shown = pointing(made.certificate, above, site.url(str(number - 1))) if number else None
        made = replace(made, certificate=shown or made.certificate)
        site.pages[str(number)] = made.certificate.der
        above = made
    leaf = above.user("bob@partner.example", kind="p256").certificate
    return pointing(leaf, above, site.url(str(length - 1)))


async def test_the_way_up(site: Pages) -> None:
    """Mail of whoever forgot to configure the chain would be signed by nobody we know."""
    leaf = chain(site, 3)
    site.pages["1"] = pkcs7.serialize_certificates(
        [Certificate.from_der(bytes(site.pages["1"])).x509, ROOT.certificate.x509],  # type: ignore[arg-type]  # octets
        Encoding.DER,
    )
    made = issuers(Clock())
    found = await made.above(leaf, (), ANCHORS)
    assert site.asked == ["2", "1", "0"]
    assert validate(leaf, found, ANCHORS, moment=NOW).trusted
    assert await made.above(leaf, found, ANCHORS) == ()
    assert len(site.asked) == 3  # nothing is lacking


async def test_kept_for_a_while(site: Pages) -> None:
    """Each mail would be a visit, which tells somebody how often Bob is written to."""
    leaf, clock = chain(site, 1), Clock()
    made = issuers(clock)
    for _ in range(2):
        assert len(await made.above(leaf, (), ANCHORS)) == 1
    assert site.asked == ["0"]
    clock.now += KEPT
    del site.pages["0"]
    for _ in range(2):
        assert await made.above(leaf, (), ANCHORS) == ()
    assert site.asked == ["0", "0"]
    clock.now += FAILED
    await made.above(leaf, (), ANCHORS)
    assert len(site.asked) == 3


async def test_no_deeper_than_granted(site: Pages) -> None:
    """A chain without end would keep us fetching."""
    leaf = chain(site, MAXIMUM_DEPTH + 2)
    assert len(await issuers(Clock()).above(leaf, (), ANCHORS)) == MAXIMUM_DEPTH
    assert len(site.asked) == MAXIMUM_DEPTH


async def test_not_into_our_own_networks(site: Pages) -> None:
    """Whoever writes a certificate could have us knock at any door inside."""
    assert await issuers(Clock(), private=False).above(chain(site, 1), (), ANCHORS) == ()
    assert site.asked == []


def _impostor(leaf: Certificate) -> Authority:
    """An authority that has the issuer's name, and another key."""
    other = root("Elsewhere").authority("Chased 0", "p384")
    assert other.certificate.subject == leaf.issuer
    return other


@pytest.mark.parametrize("page", ["redirect", "huge", "garbage", "impostor", "leaf", "absent"])
async def test_what_does_not_belong_is_left(site: Pages, page: str) -> None:
    """A stranger's server would choose what comes into our paths."""
    leaf = chain(site, 1)
    pages: Mapping[str, bytes | str | None] = {
        "redirect": site.url("other"),
        "huge": bytes(site.pages["0"]) + bytes(MAXIMUM_SIZE),  # type: ignore[arg-type]  # octets
        "garbage": b"\x30\x82\xff\xffgarbage",
        "impostor": _impostor(leaf).certificate.der,
        "leaf": leaf.der,
        "absent": None,
    }
    site.pages["other"] = site.pages.pop("0")
    if (shown := pages[page]) is not None:
        site.pages["0"] = shown
    assert await issuers(Clock()).above(leaf, (), ANCHORS) == ()
    assert site.asked == ["0"]


async def test_nobody_waits_longer_than_patience() -> None:
    """Mail would wait for a server that never answers; the next mail has what came late."""
    arrived, go = asyncio.Event(), asyncio.Event()
    above = ROOT.authority("Slow")
    leaf = pointing(
        above.user("bob@partner.example", kind="p256").certificate, above, "http://slow.example/"
    )

    async def slow(url: str, maximum: int, *, body: bytes = b"", kind: str = "") -> bytes:
        arrived.set()
        await go.wait()
        return above.certificate.der

    made = Issuers(slow, Clock(), 0.05)
    assert await made.above(leaf, (), ANCHORS) == ()
    assert arrived.is_set()
    go.set()
    patient = Issuers(slow, Clock(), 20)
    assert await patient.above(leaf, (), ANCHORS) == (above.certificate,)
    await made.close()
    await patient.close()


def test_places() -> None:
    """Only the web is asked: no file, no directory, and not more places than a few."""
    one = ROOT.authority("Places").certificate
    urls = ("ldap://x/", "file:///etc/passwd", "HTTP://a/", "https://b/", "http://c/")
    assert places(pointing(one, ROOT, *urls)) == ("HTTP://a/", "https://b/")
    assert places(one) == ()


def test_gaps() -> None:
    """A circle of cross-certificates would be climbed for ever."""
    a, b = root("Circle A"), root("Circle B")
    leaf = a.user("bob@partner.example", kind="p256").certificate
    crossed = Authority(b.certificate, b.key).authority("Circle A").certificate
    back = Authority(a.certificate, a.key).authority("Circle B").certificate
    assert gaps(leaf, (crossed, back), ANCHORS) == ()
    assert gaps(leaf, (), ANCHORS) == (leaf,)
    assert gaps(leaf, (crossed,), ANCHORS) == (crossed,)
    assert gaps(leaf, (), Anchors(frozenset({a.certificate}))) == ()
    assert gaps(leaf, (), Anchors(frozenset({leaf}))) == ()
