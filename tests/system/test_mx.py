"""Mail to other people's MX hosts: a validating resolver, signed zones, Postfix with TLS, HTTPS.

RFC 5321 section 5.1, RFC 7505 (null MX), RFC 7672 (DANE), RFC 8461 (MTA-STS).
"""

import hashlib
import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest
from tests.conftest import peer
from tests.patience import PATIENCE, until
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter, submit
from tests.peers.name_server import NameServer, Zone
from tests.peers.postfix import CHOICE, Postfix, free_port
from tests.unit.route.people import Card, card

US = "xyz.us.example"
ALICE = f"alice@{US}"
TODAY = datetime.now(UTC)
ROOT = card("Our test root", ca=True, now=TODAY)  # this machine's gateway trusts it
THEIRS = card("Their own authority", ca=True, now=TODAY)  # nobody does, but for DANE
KEY = "key.signed.example"
PRIVATE = card("mx.issuer.signed.example", "mx.key.signed.example", issuer=THEIRS, now=TODAY)
GOOD = card("mx.good.example", issuer=ROOT, now=TODAY)
OLD = card("mx.expired.example", issuer=ROOT, now=TODAY, days=5, age=10)
DOMAINS = (
    "key.signed.example", "issuer.signed.example", "tampered.signed.example",
    "unusable.signed.example", "plain.example", "sts.plain.example", "wrong.plain.example",
    "elsewhere.plain.example", "testing.plain.example", "expired.plain.example",
    "two.plain.example", "clear.plain.example", "bare.plain.example", "spare.plain.example",
)  # fmt: skip
TLS_IS_ENOUGH = "".join(
    f'[[rule]]\nname = "{name}"\nto = "{name}.{zone}.example"\n'
    'encrypt = "mandatory"\nunencryptable = "verified-tls"\n'
    for name, zone in (("issuer", "signed"), ("clear", "plain"), ("two", "plain"), ("sts", "plain"))
)
pytestmark = pytest.mark.peer("postfix", "unbound")


class Policies(threading.Thread):
    """An HTTPS server for every mta-sts.* there is."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        parts = (CHOICE.randrange(64, 250), CHOICE.randrange(250), CHOICE.randrange(1, 250))
        self.address = "127.{}.{}.{}".format(*parts)
        texts = self.texts = {
            f"mta-sts.{name}.plain.example": f"version: STSv1\r\nmode: {mode}\r\nmx: {host}\r\n"
            "max_age: 604800\r\n"
            for name, mode, host in (
                ("sts", "enforce", "mx.good.example"),
                ("wrong", "enforce", "*.wrong.example"),
                ("elsewhere", "enforce", "mx.good.example"),
                ("testing", "testing", "mx.wrong.example"),
                ("expired", "enforce", "mx.expired.example"),
            )
        }

        class Pages(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = texts.get(str(self.headers["Host"]), "").encode()
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_pem(folder / "web.pem", card(*texts, issuer=ROOT, now=TODAY)))
        self.server = http.server.ThreadingHTTPServer((self.address, 443), Pages)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def run(self) -> None:
        self.server.serve_forever(0.05)

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.join()


@dataclass
class World:
    """A gateway, and the domains it writes to."""

    us: Gateway
    mail: Postfix
    names: NameServer
    port: int
    web: str

    def send(self, domain: str) -> dict[str, Any]:
        """Submit a mail; returns the event of what became of it, with its Message-ID."""
        letter = Letter(ALICE, f"bob@{domain}")
        known = {one["queue_id"] for one in self.us.events("message.accepted")}
        submit(self.us.port, letter)
        (ours,) = {one["queue_id"] for one in self.us.events("message.accepted")} - known
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for event in self.us.events(queue_id=ours):
                if str(event["event"]).startswith("delivery."):
                    return {**event, "id": letter.id}
            time.sleep(0.05)
        raise AssertionError(f"nothing became of the mail to {domain}")

    def arrived(self, event: dict[str, Any]) -> bool:
        """Whether the mail is in its mailbox."""
        return any(event["id"].encode() in one for one in self.mail.delivered(event["to"]))

    def change(self, zones: list[Zone]) -> None:
        """Let the DNS say something else."""
        self.names.__exit__()
        self.names.zones = zones
        self.names.__enter__()


def _pem(path: Path, leaf: Card, *chain: Card) -> Path:
    path.write_bytes(leaf.key_pem + leaf.pem + b"".join(one.pem for one in chain))
    return path


def _postfix(lab: Lab, port: int) -> Postfix:
    """One Postfix with four addresses: a certificate for each of three, the fourth without TLS."""
    options = ["smtpd_tls_security_level=may"]
    names = ("private", PRIVATE, THEIRS), ("good", GOOD, ROOT), ("old", OLD, ROOT)
    files = [_pem(lab.folder / f"{name}.pem", *cards) for name, *cards in names]
    services = [
        f"127.0.0.{n}:{port} inet n - n - - smtpd\n  -o smtpd_tls_chain_files={path}\n"
        "  -o smtpd_tls_security_level=may\n"
        for n, path in enumerate(files[1:], 2)
    ]
    services.append(f"127.0.0.4:{port} inet n - n - - smtpd\n")
    return lab.postfix(
        "mail",
        port,
        settings={
            "smtpd_relay_restrictions": "reject_unauth_destination",
        },
        smtpd_options=[*options, f"smtpd_tls_chain_files={files[0]}"],
        services=services,
        mailboxes=[f"bob@{one}" for one in DOMAINS],
    )


def _tlsa(usage: int, of: Card, flip: int = 0) -> str:
    digest = hashlib.sha256(of.spki).digest()
    return f"TLSA {usage} 1 1 {bytes([digest[0] ^ flip]).hex()}{digest[1:].hex()}"


def _zones(port: int, web: str, attack: bool = False) -> list[Zone]:
    """What the DNS says; under attack it says nothing of policies and sends all to mx.evil."""

    def signed(name: str, *tlsa: str) -> list[str]:
        records = [f"_{port}._tcp.mx.{name} {one}" for one in tlsa]
        return [f"{name} MX 10 mx.{name}", f"mx.{name} A 127.0.0.1", *records]

    def sts(name: str, host: str) -> list[str]:
        if attack:
            return [f"{name} MX 10 mx.evil.example."]
        texts = [f'_mta-sts.{name} TXT "v=STSv1; id=20261123;"', f"mta-sts.{name} A {web}"]
        return [f"{name} MX 10 {host}", *texts]

    secure = [
        *signed("key", _tlsa(3, PRIVATE)),
        *signed("issuer", _tlsa(2, THEIRS)),
        *signed("tampered", _tlsa(3, PRIVATE, flip=1)),
        *signed("unusable", _tlsa(1, PRIVATE)),
        "null MX 0 .",
    ]
    plain = [
        *["@ MX 10 mx", "mx A 127.0.0.1", f"_{port}._tcp.mx {_tlsa(3, PRIVATE, flip=1)}"],
        *["two MX 10 mx.good.example.", "dead A 127.0.0.77"],
        *["spare MX 10 dead", "spare MX 20 mx.good.example."],
        *["clear MX 10 mx.clear", "bare MX 10 mx.clear", "mx.clear A 127.0.0.4"],
        *sts("sts", "mx.good.example."),
        *sts("wrong", "mx.wrong.example."),
        *sts("elsewhere", "mx.evil.example."),
        *sts("testing", "mx.wrong.example."),
        *sts("expired", "mx.expired.example."),
    ]
    hosts = [("good", 2), ("wrong", 2), ("evil", 2), ("expired", 3)]
    return [
        Zone("signed.example", secure),
        Zone("bogus.example", ["@ MX 10 mx", "mx A 127.0.0.5"], forged={"127.0.0.5": "127.0.0.6"}),
        Zone("plain.example", plain, signed=False),
        *(Zone(f"{name}.example", [f"mx A 127.0.0.{n}"], signed=False) for name, n in hosts),
    ]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A gateway that sends by MX, and trusts one authority."""
    peer("postfix", "unbound")
    with Lab() as lab, Policies(lab.folder) as policies, pytest.MonkeyPatch.context() as patch:
        (lab.folder / "root.pem").write_bytes(ROOT.pem)
        patch.setenv("SSL_CERT_FILE", str(lab.folder / "root.pem"))
        port = free_port()
        mail = _postfix(lab, port)
        with NameServer(lab.folder / "names", _zones(port, policies.address)) as names:
            us = lab.planned(US, free_port(), free_port())
            hop = f'outbound = {{ host = "127.0.0.1", port = {us.relay}, tls = "none" }}'
            us.edit({hop: f"outbound = {{ mx = true, port = {port} }}"})
            more = f'\n[resolver]\nservers = ["127.0.0.1:{names.port}"]\ntimeout = "20s"\n'
            us.config.write_text(us.config.read_text() + more)
            us.policy(TLS_IS_ENOUGH)
            us.start()
            yield World(us, mail, names, port, policies.address)


@pytest.mark.parametrize(
    ("domain", "told"),
    [
        ("key.signed.example", "dane (DANE: the domain publishes TLSA records): TLSA 3 1 1"),
        ("issuer.signed.example", "dane (DANE: the domain publishes TLSA records): TLSA 2 1 1"),
        ("unusable.signed.example", "required (DANE: none of the TLSA records is usable)"),
        ("plain.example", "opportunistic (nothing is published): any certificate will do"),
        ("bare.plain.example", "opportunistic (nothing is published): clear text: STARTTLS"),
        ("sts.plain.example", "verified (MTA-STS: policy 20261123 is enforced): certificate"),
        ("testing.plain.example", "opportunistic (the domain tests MTA-STS): any certificate"),
        ("spare.plain.example", "opportunistic (nothing is published)"),
    ],
)
def test_delivered(world: World, domain: str, told: str) -> None:
    """A partner with DANE, MTA-STS or nothing at all gets no mail, or not as it asked."""
    event = world.send(domain)
    assert event["event"] == "delivery.done", event
    assert event["security"].startswith(told)
    assert event.get("tls", "clear").startswith("clear" if "bare" in domain else "TLSv1.3 ")
    world.mail.wait_for(event["to"])
    assert world.arrived(event)


@pytest.mark.parametrize(
    ("domain", "status", "told"),
    [
        ("tampered.signed.example", "4.7.5", "not the one in the TLSA records"),
        ("bogus.example", "4.4.3", "A of mx.bogus.example"),
        ("wrong.plain.example", "4.7.5", "not mx.wrong.example"),
        ("elsewhere.plain.example", "4.7.10", "does not name it"),
        ("expired.plain.example", "4.7.5", "certificate has expired"),
        ("clear.plain.example", "4.7.10", "does not offer STARTTLS"),  # see TLS_IS_ENOUGH
        ("two.plain.example", "4.7.10", "not two.plain.example or .two.plain.example"),
    ],
)
def test_waits(world: World, domain: str, status: str, told: str) -> None:
    """An impostor, or a forger of the DNS, gets the mail of a domain that takes care."""
    event = world.send(domain)
    assert (event["event"], event["dsn"]) == ("delivery.retry", status), event
    assert told in event["reply"]
    assert world.mail.delivered(event["to"]) == []


@pytest.mark.parametrize(
    ("domain", "status"), [("null.signed.example", "5.1.10"), ("gone.signed.example", "5.1.2")]
)
def test_returned(world: World, domain: str, status: str) -> None:
    """The author hears after five days that a domain takes no mail, or does not exist."""
    event = world.send(domain)
    assert (event["event"], event["dsn"]) == ("delivery.failed", status), event


def test_a_policy_cannot_be_taken_away(world: World) -> None:
    """Whoever forges the DNS of a domain without DNSSEC gets its mail (RFC 8461 section 10.2)."""
    assert world.send("sts.plain.example")["event"] == "delivery.done"
    world.us.stop()
    world.change(_zones(world.port, world.web, attack=True))
    world.us.start()  # it remembers nothing but what it wrote down
    try:
        event = world.send("sts.plain.example")
        assert (event["event"], event["dsn"]) == ("delivery.retry", "4.7.10"), event
        assert not world.arrived(event)
    finally:
        world.change(_zones(world.port, world.web))


def test_what_was_proven_can_be_told_later(world: World) -> None:
    """Nobody can say afterwards how a mail went."""
    event = world.send(KEY)

    def done() -> list[dict[str, str]]:
        records = world.us.asked("trace", event["queue_id"])["records"]
        return [one["data"] for one in records if one["name"] == "delivery.done"]

    until(lambda: bool(done()))  # the disk is a little behind the log
    assert "TLSA 3 1 1" in done()[0]["security"]
