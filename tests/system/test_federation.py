"""Two Gateposts with CAs of their own meet: nobody does anything, and mail is encrypted.

Both are what `gatepost init` made; changed is only what a world within one machine needs.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter, read, submit, text, verdict
from tests.peers.mailbox import Mailbox
from tests.peers.name_server import NameServer, Zone
from tests.peers.pair import ALICE, BOB, UK, US
from tests.peers.postfix import free_port
from tests.peers.website import Website

pytestmark = pytest.mark.peer("unbound")


@dataclass
class Strangers:
    """Two companies that never heard of each other, and their web servers."""

    us: Gateway
    uk: Gateway
    alices: Mailbox
    bobs: Mailbox
    site: Website


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strangers]:
    """Started once; every test leaves it as the next one needs it."""
    folder = tmp_path_factory.mktemp("world")
    zones = [Zone(US, ["@ A 127.0.0.1"]), Zone(UK, ["@ A 127.0.0.1"])]
    public = {US: free_port(), UK: free_port()}
    with (
        NameServer(folder / "dns", zones) as dns,
        Website(folder / "web", public) as site,
        Lab() as lab,
    ):
        alices, bobs = lab.mailbox(), lab.mailbox()
        us_port, uk_port = free_port(), free_port()
        edits = _closed(dns, site)
        us = lab.gateway(US, alices.port, uk_port, port=us_port, federation=public[US], edits=edits)
        uk = lab.gateway(UK, bobs.port, us_port, port=uk_port, federation=public[UK], edits=edits)
        yield Strangers(us, uk, alices, bobs, site)


def _closed(dns: NameServer, site: Website) -> dict[str, str]:
    """Name servers, web servers and their authorities of this test; no domain certificate yet."""
    world = f"""discover = true
domain_certificate = false
private_addresses = true
port = {site.port}
anchors = "{site.anchors}"
patience = "20s"
[resolver]
servers = ["127.0.0.1:{dns.port}"]"""
    return {"discover = true": world}


def test_reply_is_encrypted(world: Strangers) -> None:
    """First mail signed and verified, reply encrypted; no administrator did anything."""
    first = Letter(ALICE, BOB, "Good morning", b"We have not met.\r\n")
    assert submit(world.us.port, first) == {}
    mail = world.bobs.wait_for(first.id)[0]
    assert verdict(mail.content, world.uk.name) == "pass"
    pinned = world.uk.wait_for("federation.pinned", domain=US)[0]
    assert pinned["evidence"] == "https, dnssec"
    world.uk.wait_for("certificate.harvested", address=ALICE)
    reply = Letter(BOB, ALICE, "Re: Good morning", b"Now we have.\r\n")
    assert submit(world.uk.port, reply) == {}
    answer = world.alices.wait_for(reply.id)[0]
    assert text(answer.content) == "Now we have.\n"
    assert verdict(answer.content, world.us.name) == "pass"
    assert "[encrypted]" in read(answer.content)["Subject"]
    (known,) = world.us.asked("federation", "list")
    assert (known["domain"], known["live"]) == (UK, True)
    assert world.us.asked("partner", "list") == []


def test_with_domain_certificates_the_first_mail_is_encrypted(world: Strangers) -> None:
    """As `gatepost init` leaves it: strangers' first mail would cross the world in clear."""
    for one in (world.us, world.uk):
        one.edit({"domain_certificate = false": "domain_certificate = true"})
        one.stop()
        one.start()
    world.us.asked("federation", "meet", UK)
    letter = Letter(f"carla@{US}", f"dora@{UK}", "Nobody knows us", b"And yet.\r\n")
    assert submit(world.us.port, letter) == {}
    mail = world.bobs.wait_for(letter.id)[0]
    assert text(mail.content) == "And yet.\n"
    assert "[encrypted]" in read(mail.content)["Subject"]
    assert verdict(mail.content, world.uk.name) == "pass"


def test_lies_are_refused(world: Strangers) -> None:
    """Tampering, roll-back and replay by whoever holds the web server: one sentence, no change."""
    domain = UK
    world.us.asked("federation", "meet", domain)
    before = world.us.asked("federation", "list")
    old = world.site.shown(domain, f"/.well-known/gatepost/{domain}.json")[1]
    forged = json.loads(old)
    forged["payload"] = forged["payload"][:-8] + "AAAAAAAA"
    _refused(world, json.dumps(forged), "does not hold")
    _refused(world, world.site.shown(US, f"/.well-known/gatepost/{US}.json")[1], "not of " + UK)
    _refused(world, "x" * 10_000_000, "larger than")
    _refused(world, "<html>", "not JSON")
    assert [one | {"checked": ""} for one in world.us.asked("federation", "list")] == [
        one | {"checked": ""} for one in before
    ]
    world.uk.command("federation", "new-key")
    met = world.us.asked("federation", "meet", domain)[0]  # both keys sign: it is followed
    assert met["sequence"] > before[0]["sequence"]
    assert met["key"] != before[0]["key"]
    _refused(world, old, "another key|plays an old one back")


def _refused(world: Strangers, shown: str, why: str) -> None:
    world.site.instead[UK] = shown
    try:
        said = world.us.command("federation", "meet", UK, "--json", codes=(2,))
        import re  # noqa: PLC0415

        assert re.search(why, said), said
    finally:
        world.site.instead.clear()


def test_without_network(world: Strangers, tmp_path: Path) -> None:
    """Air-gapped companies carry files; a file is held to the same rules."""
    file, old = tmp_path / "uk.json", tmp_path / "old.json"
    world.uk.command("federation", "export", "--output", str(old))
    world.us.command("federation", "remove", UK, codes=(0, 2))  # the other tests may know it
    met = world.us.asked("federation", "import", str(old))[0]
    assert (met["domain"], met["evidence"]) == (UK, "file")
    world.uk.command("federation", "new-key")
    world.uk.command("federation", "export", "--output", str(file))
    world.us.command("federation", "import", str(file))
    world.us.command("federation", "import", str(old), codes=(2,))
    world.us.command("federation", "import", str(world.us.config), codes=(2,))
    world.uk.command("federation", "import", str(file), codes=(2,))  # its own
