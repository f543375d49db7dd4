"""MTA-STS policies through time: found, kept, renewed, and not to be taken away (RFC 8461)."""

import asyncio
from datetime import timedelta
from pathlib import Path

from tests.unit.lookup.zone import SERVFAIL, NameServer, resolver, serving
from tests.unit.route.people import NOW

from gatepost.errors import Unavailable
from gatepost.lookup.policy_file import PolicyFiles
from gatepost.lookup.sts import Policies
from gatepost.route.sts import parse

NAME = "_mta-sts.p.example TXT"


def text(mode: str = "enforce", days: int = 10) -> str:
    return f"version: STSv1\nmode: {mode}\nmx: mx.p.example\nmax_age: {86400 * days}\n"


def record(id_: str) -> list[str]:
    return [f'"v=STSv1; id={id_};"']


class World:
    """A domain, its web server and a gateway that remembers."""

    def __init__(self, server: NameServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.now = NOW
        self.text: str | None = text()
        self.fetched = 0
        server.ttl = 0
        self.restart()

    def restart(self) -> None:
        files = PolicyFiles(self.folder / "mta-sts")
        self.policies = Policies(resolver(self.server), self.fetch, files, lambda: self.now)

    async def fetch(self, domain: str) -> str:
        assert domain == "p.example"
        self.fetched += 1
        await asyncio.sleep(0)
        if self.text is None:
            raise Unavailable("certificate has expired")
        return self.text

    async def mode(self) -> str | None:
        found = await self.policies.of("p.example")
        return found.mode if found else None


async def test_found_once(tmp_path: Path) -> None:
    """Every mail fetches the policy, or none does."""
    async with serving({NAME: record("1")}) as server:
        world = World(server, tmp_path)
        assert await asyncio.gather(*(world.mode() for _ in range(5))) == ["enforce"] * 5
        world.restart()
        assert await world.mode() == "enforce"
        assert world.fetched == 1


async def test_nobody_takes_a_policy_away(tmp_path: Path) -> None:
    """Whoever forges the DNS or blocks the web server gets the mail in clear (section 10)."""
    async with serving({NAME: record("1")}) as server:
        world = World(server, tmp_path)
        await world.mode()
        for attack in ([], SERVFAIL, ['"v=spf1 -all"'], [*record("1"), *record("2")]):
            server.table[NAME] = attack
            assert await world.mode() == "enforce"
            world.restart()
            assert await world.mode() == "enforce"
        server.table[NAME], world.text = record("2"), None
        assert await world.mode() == "enforce"
        world.text = "<html>404</html>"
        world.now += timedelta(minutes=6)
        assert await world.mode() == "enforce"
        world.now += timedelta(days=10)
        assert await world.mode() is None  # it has ended


async def test_a_new_policy_replaces_the_old(tmp_path: Path) -> None:
    """A domain that moves its mail cannot be written to any more."""
    async with serving({NAME: record("1")}) as server:
        world = World(server, tmp_path)
        await world.mode()
        server.table[NAME], world.text = record("2"), text("none")
        assert await world.mode() == "none"
        server.table[NAME] = []
        world.restart()
        assert await world.mode() == "none"


async def test_renewed_before_it_ends(tmp_path: Path) -> None:
    """The policy ends on the day its web server cannot be reached (section 3.3)."""
    async with serving({NAME: record("1")}) as server:
        world = World(server, tmp_path)
        await world.mode()
        for _ in range(30):
            world.now += timedelta(days=1)
            assert await world.mode() == "enforce"
            await world.policies.settle()
        assert world.fetched == 31


async def test_ended_policies_go(tmp_path: Path) -> None:
    """The folder keeps a file for every domain that ever had a policy."""
    async with serving({NAME: record("1")}) as server:
        world = World(server, tmp_path)
        PolicyFiles(tmp_path / "mta-sts").write("old.example", parse(text(days=0), "1", NOW))
        assert await world.mode() == "enforce"
        assert len(list((tmp_path / "mta-sts").iterdir())) == 1


async def test_failures_are_not_repeated_at_once(tmp_path: Path) -> None:
    """Every mail to a domain with a broken web server waits for it."""
    async with serving({NAME: record("1")}) as server:
        world = World(server, tmp_path)
        world.text = None
        for _ in range(4):
            assert await world.mode() is None
        assert world.fetched == 1
        assert world.policies.fault["p.example"] == "certificate has expired"
        world.now, world.text = world.now + timedelta(minutes=5), text()
        assert await world.mode() == "enforce"


async def test_without_a_record_nothing_is_fetched(tmp_path: Path) -> None:
    """Every domain in the world is asked for a web page."""
    async with serving({"p.example MX": ["10 mx.p.example."]}) as server:
        world = World(server, tmp_path)
        assert await world.mode() is None
        assert world.fetched == 0


def test_files(tmp_path: Path) -> None:
    """A damaged or another domain's file is enforced; ended ones fill the disk."""
    files = PolicyFiles(tmp_path)
    assert files.read("p.example") is None
    (tmp_path / "x.json").write_text("{")
    assert files.prune(NOW) == 0
    policy = parse(text(), "1", NOW)
    files.write("p.example", policy)
    assert files.read("p.example") == policy
    (path,) = (one for one in tmp_path.iterdir() if one.name != "x.json")
    octets = path.read_bytes()
    for damaged in (
        b"",
        octets[:50],
        octets.replace(b"p.example", b"q.example"),
        octets.replace(b"enforce", b"hope"),
        b"[]",
    ):
        path.write_bytes(damaged)
        assert files.read("p.example") is None
    path.write_bytes(octets)
    assert files.prune(NOW + timedelta(days=9)) == 0
    assert files.prune(NOW + timedelta(days=10)) == 1
    PolicyFiles(tmp_path / "x.json" / "y").write("p.example", policy)  # cannot be: nothing breaks
    PolicyFiles(None).write("p.example", policy)
    assert PolicyFiles(None).read("p.example") is None
