"""Certificates by EST, CMP and file, from the first mail to its signature: OpenSSL issues them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.peers.authority import OpensslAuthority
from tests.peers.cmp_server import CmpServer
from tests.peers.est_server import EstServer
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter, submit
from tests.peers.mailbox import Mailbox as Inbox
from tests.system.test_enrolment import until
from tests.unit.engine.test_enroller import ALICE, OUTSIDE, Home, sign
from tests.unit.vault.door import process
from tests.world import only

from gatepost.certificate import Certificate
from gatepost.config import load
from gatepost.engine import enroller
from gatepost.engine.enroller import Enroller
from gatepost.engine.service import Service
from gatepost.enrol.carrier import Carrier
from gatepost.enrol.cmp import Cmp
from gatepost.enrol.cmp_protection import Secret
from gatepost.enrol.file import ByFile
from gatepost.enrol.source import CertificateSource
from gatepost.errors import NotYet
from gatepost.vault.client import Remote
from gatepost.vault.keys import Vault

pytestmark = pytest.mark.peer("openssl")

SETTINGS = """
[[certificate_source]]
name = "est"
kind = "est"
[certificate_source.est]
url = "{url}"
anchors = "{anchors}"
user = "gatepost"
password_environment = "EST_PASSWORD"
[[identity]]
source = "est"
key_type = "p256"
"""


@pytest.fixture
def est_server(tmp_path: Path) -> Iterator[EstServer]:
    with EstServer(tmp_path / "est", {"gatepost": "sesame"}) as server:
        server.undecided, server.retry_after = 1, "30"
        yield server


@pytest.fixture
async def served(
    lab: Lab, est_server: EstServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Gateway, Inbox, list[timedelta]]]:
    """A gateway whose people's certificates come by EST; the clock is put forward by hand."""
    monkeypatch.setattr(enroller, "PERIOD", 0.05)
    monkeypatch.setenv("EST_PASSWORD", "sesame")
    world = lab.mailbox()
    gateway = lab.planned("us.example", lab.mailbox().port, world.port)
    gateway.policy('[defaults]\nsign = "always"\n')
    text = SETTINGS.format(url=est_server.url, anchors=est_server.authority.root)
    gateway.edit({"[vault]": f"{text}[vault]"})
    ahead = [timedelta()]
    service = Service(load(gateway.config), clock=lambda: datetime.now(UTC) + ahead[0])
    await service.start()
    yield gateway, world, ahead
    await service.stop()


async def test_est(
    served: tuple[Gateway, Inbox, list[timedelta]], est_server: EstServer, tmp_path: Path
) -> None:
    """Alice's mail goes out signed by nobody the world knows, or never."""
    gateway, world, ahead = served
    letter = Letter("alice@us.example", "bob@partner.example", body=b"To be signed.\r\n")

    async def refused() -> str:
        ahead[0] += timedelta(seconds=61)
        try:
            await asyncio.to_thread(submit, gateway.port, letter)
        except OSError as error:
            return str(error)
        return ""

    assert "cannot sign now" in await refused()
    await until(refused)
    (mail,) = await asyncio.to_thread(world.wait_for, letter.id)
    assert b"To be signed." in verified(mail.content, est_server.authority.root, tmp_path)
    assert [
        path.rpartition("/")[2] for method, path, _ in est_server.heard if method == "POST"
    ] == ["simpleenroll"] * 2


def verified(octets: bytes, anchors: Path, folder: Path) -> bytes:
    """What OpenSSL says was signed, with nothing but the root to go by."""
    (folder / "mail.eml").write_bytes(octets)
    done = subprocess.run(
        ("openssl", "cms", "-verify", "-in", folder / "mail.eml", "-CAfile", anchors),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    found = Home(tmp_path, datetime.now(UTC), OUTSIDE)
    yield found
    found.directory.close()


@pytest.fixture
def authority(tmp_path: Path) -> OpensslAuthority:
    return OpensslAuthority.made(tmp_path / "authority")


async def look(home: Home, source: CertificateSource) -> None:
    asking: Enroller = home.enroller()
    asking.sources = {"outside": source}
    await asking.look()


async def test_cmp(home: Home, authority: OpensslAuthority, tmp_path: Path) -> None:
    """What CMP brings fits no key, or is filed where nobody finds it."""
    with pytest.raises(NotYet):
        home.identities.ensure(ALICE, home.now)
    issuing = (authority.folder / "issuing.pem").read_bytes()
    leaf = authority.issued(home.request().pkcs10)
    waiting = ("-poll_count", "1")
    with CmpServer(tmp_path, leaf, issuing, "gateway", "sesame", waiting) as server:
        source = Cmp("outside", Carrier(server.url), Secret("gateway", "sesame"))
        await look(home, source)
        assert home.request().waits_for == f"the decision of {source.carrier.host}"
        home.now += timedelta(minutes=1)
        await look(home, source)
    found = sign(home, ALICE)
    assert [one.name for one in home.vault.signer_of(found).chain] == ["Peer Issuing"]


@pytest.mark.parametrize("is_apart", [False, True])
async def test_cmp_signed(
    home: Home, authority: OpensslAuthority, tmp_path: Path, is_apart: bool
) -> None:
    """Without a password nobody's certificate is renewed, above all where keys are kept apart."""
    issuing = (authority.folder / "issuing.pem").read_bytes()
    with process() as (_, client):
        if is_apart:
            home.vault = Vault(home.directory, Remote(client))
        home.use(replace(OUTSIDE, keys="separate"))
        with pytest.raises(NotYet):
            home.identities.ensure(ALICE, home.now)
        for one in home.directory.requests.all():
            chain = Certificate.from_pem(authority.issued(one.pkcs10) + issuing)
            assert home.directory.requests.finish(one, chain, now=home.now)
        home.now += timedelta(hours=1)  # it began after this test did
        signer, old = home.identities.ensure(ALICE, home.now)
        assert old is not None
        home.now += timedelta(days=8)  # in the last third of ten
        await home.enroller().keep()
        renewing = [one for one in home.directory.requests.all() if one.purpose == "encrypt"]
        asked = only(renewing)
        leaf = authority.issued(asked.pkcs10)
        served = authority.certify("cmp", "/CN=CMP", "server")
        answering = Certificate.from_pem(served[0].read_bytes())[:1]
        with CmpServer(tmp_path, leaf, issuing, signer=served, trusted=authority.root) as server:
            source = Cmp("outside", Carrier(server.url), None, signers=answering, renews=True)
            asking = home.enroller()
            asking.sources = {"outside": source}
            await asking.ask(asked)
        found = home.directory.enrolled(ALICE, "encrypt")
        assert found is not None
        assert found != old
        assert sign(home, ALICE) == signer.certificate


async def test_file(home: Home, authority: OpensslAuthority, tmp_path: Path) -> None:
    """What somebody carried over fits no key, or is filed where nobody finds it."""
    source = ByFile("outside", tmp_path / "out", tmp_path / "in")
    for folder in (source.outbox, source.inbox):
        folder.mkdir()
    with pytest.raises(NotYet):
        home.identities.ensure(ALICE, home.now)
    await look(home, source)
    (request,) = source.outbox.iterdir()
    assert str(request) in home.request().waits_for
    leaf = authority.issued(home.request().pkcs10)
    (source.inbox / "alice.p7b").write_bytes(
        authority.bag(leaf, (authority.folder / "issuing.pem").read_bytes())
    )
    home.now += timedelta(minutes=1)
    await look(home, source)
    found = sign(home, ALICE)
    assert [one.name for one in home.vault.signer_of(found).chain] == ["Peer Issuing"]
    assert not request.exists()
