"""Asking other authorities: answers kept, failures borne, and no way into our own networks."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gatepost.certificate import Certificate
from gatepost.engine.journal import Journal
from gatepost.engine.public import authority_routes
from gatepost.enrol.local import LocalAuthority
from gatepost.enrol.pointer import Pointers
from gatepost.errors import GatepostError, Malformed, Refused, Unavailable
from gatepost.lookup import revocation
from gatepost.lookup.download import Download
from gatepost.lookup.resolver import Resolver, ResolverSettings
from gatepost.lookup.revocation import FAILED, FORGOTTEN, USED, Revocations
from gatepost.mail.address import Mailbox
from gatepost.net.http import HttpAnswer, HttpRequest, HttpServer
from gatepost.pki.evidence import Evidence
from gatepost.pki.validate import Anchors, PathReport, validate
from gatepost.store.directory import Directory
from gatepost.vault.kek import Kek
from gatepost.vault.keys import Vault
from gatepost.vault.seal import Sealer

START = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
URL = "http://pki.partner.example"
BOB = Mailbox.parse("bob@partner.example")
NO_GRACE = timedelta()


class World:
    """A partner's CA, its web server, and a clock."""

    def __init__(self, folder: Path, url: str = URL) -> None:
        self.now = START
        self.theirs = Directory(folder / "theirs.sqlite")
        self.ours = Directory(folder / "ours.sqlite")
        self.vault = Vault(self.theirs, Sealer(Kek(bytes(range(32))), "private keys"))
        self.ca = LocalAuthority.create(
            self.theirs,
            self.vault,
            "Partner",
            ["partner.example"],
            user_key="p256",
            pointers=Pointers(url),
            now=START,
        )
        self.routes = authority_routes(self.ca, lambda: self.now, Journal(lambda: self.now))
        self.asked: list[str] = []
        self.dead: set[str] = set()  # beginnings of paths that do not answer
        self.revocations = self.opened()

    def opened(self) -> Revocations:
        return Revocations(self.fetch, self.ours.statuses, lambda: self.now)

    async def fetch(self, url: str, maximum: int, *, body: bytes = b"", kind: str = "") -> bytes:
        path = url.removeprefix(URL)
        self.asked.append(path)
        if any(path.startswith(one) for one in self.dead):
            raise Unavailable("nobody there")
        route = self.routes["/ocsp" if body else "/pki/"]
        answer = route(HttpRequest("POST" if body else "GET", path, kind, body))
        assert len(answer.body) < maximum
        if answer.status != 200:
            raise Unavailable(f"{answer.status}")
        return answer.body

    def chain(self, one: Certificate) -> tuple[Certificate, ...]:
        return (one, self.ca.issuing, self.ca.root)

    async def evidence(
        self, one: Certificate, *, required: bool = True, grace: timedelta = NO_GRACE
    ) -> Evidence:
        found = await self.revocations.evidence(self.chain(one), required=required, grace=grace)
        await self.revocations.settle()
        return found

    async def judged(
        self, one: Certificate, *, required: bool = True, grace: timedelta = NO_GRACE
    ) -> PathReport:
        evidence = await self.evidence(one, required=required, grace=grace)
        anchors = Anchors(frozenset({self.ca.root}), frozenset({self.ca.issuing}), evidence)
        return validate(one, (), anchors, moment=self.now)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.theirs.close()
    made.ours.close()


async def test_lists_without_number_or_end_do_not_fill_the_memory(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand authorities' lists of twenty mebibytes each would end every worker."""
    one = world.ca.issue(BOB, "encrypt", START)
    both = await world.evidence(one)
    assert len(both.lists) == 2
    monkeypatch.setattr(revocation, "MAXIMUM_OCTETS", max(len(each.der) for each in both.lists))
    world.revocations = world.opened()
    assert len((await world.evidence(one)).lists) == 1  # the newest
    for _ in range(3):  # what is counted goes down as well
        assert len((await world.evidence(one)).lists) == 1


async def test_lists_are_fetched_once_and_survive_a_restart(world: World) -> None:
    """Every mail would wait for a partner's web server."""
    one = world.ca.issue(BOB, "encrypt", START)
    assert (await world.judged(one)).trusted
    first = await world.evidence(one)
    assert len(world.asked) == 2  # the issuing CA's list and the root's
    assert await world.evidence(one) is first  # verdicts stay
    world.revocations = world.opened()
    world.dead.add("/")
    assert (await world.judged(one)).trusted
    assert len(world.asked) == 2


async def test_the_next_list_comes_before_the_last_one_ends(world: World) -> None:
    """A revocation would be heard of only when the old list has run out."""
    one = world.ca.issue(BOB, "encrypt", START)
    assert (await world.judged(one)).trusted
    world.now += timedelta(days=1, minutes=1)
    world.ca.revoke(one, "keyCompromise", world.now)
    assert (await world.judged(one)).trusted  # with what was here, and nobody waited
    report = await world.judged(one)
    assert not report.trusted
    assert "keyCompromise" in report.reasons[0]
    assert report.revocation[0].source == "crl"


async def test_without_a_list_the_responder_is_asked(world: World) -> None:
    """A partner whose list server is down could not be written to."""
    world.dead.add("/pki")
    one = world.ca.issue(BOB, "encrypt", START)
    report = await world.judged(one, required=False)
    assert report.trusted
    assert [found.source for found in report.revocation] == ["ocsp", ""]
    assert report.revocation[1].status == "unknown"  # the root has a list only
    assert "nobody there" in world.revocations.fault(*world.chain(one)[1:])


async def test_hard_grace_and_soft(world: World) -> None:
    """What nobody knows would pass where it must not, or stop mail where it need not."""
    one = world.ca.issue(BOB, "encrypt", START)
    assert (await world.judged(one)).trusted
    world.dead.add("/")
    world.now += timedelta(days=9)
    hard = await world.judged(one)
    assert not hard.trusted
    assert "not known" in hard.reasons[0]
    assert (await world.judged(one, grace=timedelta(days=7))).trusted
    assert (await world.judged(one, required=False)).trusted
    world.now += timedelta(days=9)
    assert not (await world.judged(one, grace=timedelta(days=7))).trusted


async def test_a_place_that_failed_is_left_alone_for_a_while(world: World) -> None:
    """A dead server would be asked for every mail, and every mail would wait."""
    world.dead.add("/")
    one = world.ca.issue(BOB, "encrypt", START)
    await world.evidence(one)
    asked = len(world.asked)
    await world.evidence(one)
    assert len(world.asked) == asked
    world.now += FAILED + timedelta(seconds=1)
    await world.evidence(one)
    assert len(world.asked) == 2 * asked


async def test_an_old_list_never_replaces_a_newer_one(world: World) -> None:
    """Whoever can play back yesterday's list would undo a revocation."""
    one = world.ca.issue(BOB, "encrypt", START)
    old = world.ca.revocations(world.ca.issuing, world.now)
    world.now += timedelta(hours=1)
    world.ca.revoke(one, "keyCompromise", world.now)
    assert not (await world.judged(one)).trusted
    world.now += timedelta(days=2)
    assert old is not None
    world.routes = {"/pki/": lambda _: HttpAnswer(200, old.der), "/ocsp": lambda _: HttpAnswer(404)}
    assert not (await world.judged(one, required=False)).trusted
    assert not (await world.judged(one, required=False)).trusted


async def test_deltas_are_fetched_too(world: World) -> None:
    """A CA lists everything once a month; what it revoked since would be missed."""
    one = world.ca.issue(BOB, "encrypt", START)
    issuer = world.ca.lend(world.ca.issuing)
    point = x509.DistributionPoint(
        [x509.UniformResourceIdentifier(f"{URL}/delta")], None, None, None
    )

    def signed(number: int, base: int | None, entries: list[x509.RevokedCertificate]) -> bytes:
        since = world.now - timedelta(hours=1)
        builder = (
            x509.CertificateRevocationListBuilder(revoked_certificates=entries)
            .issuer_name(issuer.certificate.x509.subject)
            .last_update(since)
            .next_update(since + (timedelta(days=1) if base else timedelta(days=30)))
            .add_extension(x509.CRLNumber(number), critical=False)
        )
        if base is None:
            builder = builder.add_extension(x509.FreshestCRL([point]), critical=False)
        else:
            builder = builder.add_extension(x509.DeltaCRLIndicator(base), critical=True)
        made = builder.sign(issuer.key, hashes.SHA256())
        return made.public_bytes(Encoding.DER)

    entry = x509.RevokedCertificateBuilder(one.serial, START).build()
    shown = {"/delta": signed(2, 1, [entry]), "/pki/": signed(1, None, [])}
    roots = world.routes["/pki/"]

    def served(request: HttpRequest) -> HttpAnswer:
        if world.ca.root.fingerprint[:16] in request.path:
            return roots(request)
        return HttpAnswer(200, shown["/delta" if request.path == "/delta" else "/pki/"])

    world.routes = {"/pki/": served}
    report = await world.judged(one)
    assert not report.trusted
    assert len(report.revocation[0].proofs) == 2
    shown["/delta"] = signed(3, 1, [])  # it was a hold, and is over
    world.now += timedelta(days=1)
    await world.judged(one)  # it has begun to ask
    assert (await world.judged(one)).trusted
    assert world.asked.count("/delta") == 2


async def test_fetched_in_advance_by_one_node(world: World) -> None:
    """Mail would wait for lists that end, and each of ten nodes ask for each of them."""
    one = world.ca.issue(BOB, "encrypt", START)
    assert (await world.judged(one)).trusted
    nodes = [world.opened() for _ in range(3)]
    asked = len(world.asked)
    for node in nodes:
        assert await node.refresh() == ()
    assert len(world.asked) == asked  # nothing is due
    world.now += timedelta(days=1, minutes=1)
    await asyncio.gather(*(node.refresh() for node in nodes))
    assert len(world.asked) == 2 * asked
    world.dead.add("/")
    world.revocations = world.opened()  # mail that comes now finds everything
    assert (await world.judged(one)).trusted
    assert len(world.asked) == 2 * asked


async def test_silence_is_told_and_what_nobody_uses_is_left(world: World) -> None:
    """Nobody would notice that a list cannot be had until mail is refused for it."""
    one = world.ca.issue(BOB, "encrypt", START)
    assert (await world.judged(one)).trusted
    world.dead.add("/")
    world.now += timedelta(days=8)
    silent = await world.revocations.refresh()
    assert {found.fault for found in silent} == {"nobody there"}
    world.now += FAILED + timedelta(seconds=1)
    assert await world.revocations.refresh(grace=timedelta(days=7)) == ()
    assert world.ours.statuses.failing(START, 10) != ()
    world.now += USED
    before = len(world.asked)
    assert await world.revocations.refresh() == ()
    assert len(world.asked) == before
    world.now += FORGOTTEN
    await world.revocations.tidy()
    assert world.ours.statuses.failing(START, 10) == ()


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://127.0.0.1/x.crl", Refused),
        ("http://[::1]/x.crl", Refused),
        ("http://10.1.2.3/x.crl", Refused),
        ("http://169.254.169.254/latest/meta-data", Refused),
        ("http://[::ffff:127.0.0.1]/x.crl", Refused),
        ("file:///etc/passwd", Refused),
        ("ldap://directory.example/cn=x", Refused),
        ("gopher://example.com/", Refused),
        ("http://user@example.com/", Refused),
        ("http://exa mple.com/", Refused),
        ("http:///x", Refused),
        ("http://[/x", Refused),
        ("http://example.com:99999/", Refused),
    ],
)
async def test_no_certificate_sends_us_into_our_own_networks(
    url: str, fault: type[GatepostError]
) -> None:
    """A mail with a certificate would be a key to every server behind the firewall (SSRF)."""
    download = Download(Resolver(ResolverSettings((("127.0.0.1", 9),), timeout=0.1, lifetime=0.1)))
    with pytest.raises(fault):
        await download(url, 1000)


async def test_downloads_end_where_they_must() -> None:
    """A stranger's server could fill the memory, or lead elsewhere by a redirect."""
    routes = {
        "/big": lambda _: HttpAnswer(200, bytes(2000)),
        "/moved": lambda _: HttpAnswer(404),
        "/post": lambda one: HttpAnswer(200, one.body),
    }
    server = HttpServer("127.0.0.1", 0, routes)
    await server.start()
    nowhere = Resolver(ResolverSettings((("127.0.0.1", 9),), timeout=0.1, lifetime=0.1))
    download = Download(nowhere, (ip_network("127.0.0.0/8"),), patience=5)
    url = f"http://127.0.0.1:{server.port}"
    try:
        assert await download(f"{url}/post", 100, body=b"abc", kind="a/b") == b"abc"
        with pytest.raises(Malformed):
            await download(f"{url}/big", 1000)
        with pytest.raises(Unavailable, match="404"):
            await download(f"{url}/moved", 1000)
    finally:
        await server.stop()
    with pytest.raises(Unavailable):
        await download(f"{url}/post", 100)
