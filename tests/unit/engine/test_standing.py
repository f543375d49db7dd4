"""Revocation in the way of mail: over HTTP, by list and by OpenSSL's responder, and never silent."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.conftest import ROOT
from tests.peers.postfix import free_port
from tests.unit.engine.desk import SETTINGS
from tests.unit.lookup.test_revocation import BOB, START, World
from tests.world import World as Surroundings
from tests.world import facts, incoming, only, outgoing

from gatepost.admin import explanation
from gatepost.certificate import Certificate
from gatepost.cms.capability import Signer
from gatepost.config import Settings, parse
from gatepost.config.revocation import Strictness
from gatepost.engine.drive import drive
from gatepost.engine.gather import Gatherer
from gatepost.engine.service import Stores
from gatepost.engine.standing import Standing, standing
from gatepost.enrol.local import LocalAuthority
from gatepost.enrol.pointer import OCSP, Pointers
from gatepost.flow import inbound, outbound
from gatepost.flow.decision import Decision, decisions
from gatepost.flow.fact import CertificateFor
from gatepost.flow.stage import run
from gatepost.lookup.revocation import Revocations
from gatepost.mail.content import Octets, join
from gatepost.mail.message import Message
from gatepost.net.http import HttpServer
from gatepost.pki.choose import Choice
from gatepost.smime.report import SignatureReport, Verdict
from gatepost.smime.sign import sign
from gatepost.vault.kek import Kek
from gatepost.vault.keys import Vault
from gatepost.vault.mac import Mac
from gatepost.vault.seal import Sealer

LEVELS: tuple[Strictness, ...] = ("hard", "grace", "soft")


def settings(level: Strictness) -> Settings:
    """Loopback counts as a network of ours in which others' servers stand."""
    table = f"""[revocation]
outbound = "{level}"
inbound = "{level}"
private = ["127.0.0.0/8"]
patience = "20s"
"""
    return parse(SETTINGS + table, ROOT / "gatepost.toml")


class Web(World):
    """The partner's CA behind a real web server, and our gateway's view of it."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        super().__init__(folder, f"http://127.0.0.1:{port}")
        self.server = HttpServer("127.0.0.1", port, self.routes)
        self.sent = b""  # the last mail that arrived
        self.ours.add_partner("partner.example", [self.ca.root, self.ca.issuing], now=START)

    def know(self, *found: Certificate) -> None:
        """File certificates of Bob's."""
        for one in found:
            self.ours.add_certificate(one, [BOB], now=START)

    def pointing(self, url: str = "") -> LocalAuthority:
        """The same CA, whose certificates from now on say something else of where to ask."""
        return replace(self.ca, pointers=Pointers(url))

    def gatherer(self, level: Strictness) -> tuple[Gatherer, Standing | None]:
        """Ours, as strict as told."""
        stands = standing(settings(level), self.ours.statuses, lambda: self.now)
        made = Gatherer(
            self.ours,
            Vault(self.ours, Sealer(Kek(b"k" * 32), "private-key")),
            None,
            domains=frozenset({"xyz.example"}),
            clock=lambda: self.now,
            standing=stands,
        )
        return made, stands

    async def chosen(self, level: Strictness) -> Choice:
        """The certificate to write to Bob with."""
        gather, stands = self.gatherer(level)
        fact = CertificateFor(BOB)
        found = (await gather(frozenset({fact})))[fact]
        if stands is not None:
            await stands.revocations.settle()
        assert isinstance(found, Choice)
        return found

    async def arrived(self, level: Strictness, signer: Signer) -> Message:
        """Bob's mail, signed at the start, verified now by what the gateway can find out."""
        header = f"From: Bob <{BOB}>\r\nTo: a@xyz.example\r\nSubject: Hi\r\n\r\n".encode()
        header, body = sign(header, Octets(b"Hello\r\n"), signer, now=START, names=lambda: "t")
        self.sent = header + join(body)
        mail = incoming(self.sent, "a@xyz.example")
        context = replace(Surroundings().context(), now=self.now, asks_revocation=True)
        gather, stands = self.gatherer(level)
        (outcome,) = await drive(run(mail, context, inbound.STAGES), gather)
        if stands is not None:
            await stands.revocations.settle()
        return outcome.message


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    """A partner whose CA publishes lists and answers."""
    made = Web(tmp_path)
    await made.server.start()
    yield made
    await made.server.stop()
    made.theirs.close()
    made.ours.close()


def told(message: Message) -> tuple[Verdict, Decision, str]:
    """The verdict, the record, and what the recipient's program is told."""
    (found,) = [one for one in message.findings if isinstance(one, SignatureReport)]
    (decision,) = decisions(message.findings)
    results = message.header.split(b"Authentication-Results:", 1)[1]
    return found.verdict, decision, " ".join(results.decode().split("\r\nFrom:")[0].split())


@pytest.mark.parametrize("level", LEVELS)
async def test_nobody_encrypts_to_a_revoked_certificate(web: Web, level: Strictness) -> None:
    """A stolen key would read all mail to its owner until his certificate ends."""
    bad = web.ca.issue(BOB, "encrypt", START)
    good = web.ca.issue(BOB, "encrypt", START)
    web.know(bad, good)
    web.ca.revoke(bad, "keyCompromise", START)
    choice = await web.chosen(level)
    assert choice.chosen == good
    (rejected,) = choice.rejected
    assert rejected.certificate == bad
    assert "was revoked on 2026-06-01 (keyCompromise)" in rejected.reason
    assert choice.remarks == ()


async def test_unknown_by_level_outbound(web: Web) -> None:
    """What nobody knows would stop mail where it need not, or pass where it must not."""
    one = web.ca.issue(BOB, "encrypt", START)
    web.know(one)
    assert (await web.chosen("grace")).chosen == one
    await web.server.stop()
    web.now += timedelta(days=9)  # two days after the end of the list
    hard = await web.chosen("hard")
    assert hard.chosen is None
    assert "is not known: a list does not count: it was to be renewed by" in hard.rejected[0].reason
    assert (await web.chosen("grace")).chosen == one
    soft = await web.chosen("soft")
    assert soft.chosen == one
    assert "is not known: a list does not count" in soft.remarks[0]
    web.now += timedelta(days=9)
    assert (await web.chosen("grace")).chosen is None


async def test_the_decision_says_what_is_not_known(web: Web) -> None:
    """Mail is encrypted to somebody nobody asked about, and the record is silent."""
    one = web.ca.issue(BOB, "encrypt", START)
    bad = web.ca.issue(BOB, "encrypt", START)
    web.know(one, bad)
    web.ca.revoke(bad, "keyCompromise", START)
    assert (await web.chosen("soft")).chosen == one
    await web.server.stop()
    web.now += timedelta(days=9)
    text = f"From: alice@xyz.example\nTo: {BOB}\nSubject: x\n\nsecret\n"
    known = {CertificateFor(BOB): await web.chosen("grace")}
    mail = Surroundings(facts=facts(signers=["alice@xyz.example"]) | known).drive(
        outgoing(text, str(BOB)), outbound.STAGES
    )
    (decision,) = decisions(only(mail).message.findings)
    assert decision.certificate is not None
    assert decision.certificate.fingerprint == one.fingerprint
    assert "was revoked on 2026-06-01" in decision.rejected[0].reason
    known = {CertificateFor(BOB): await web.chosen("soft")}
    mail = Surroundings(facts=facts(signers=["alice@xyz.example"]) | known).drive(
        outgoing(text, str(BOB)), outbound.STAGES
    )
    (decision,) = decisions(only(mail).message.findings)
    assert any("is revoked is not known" in said for said in decision.because)


@pytest.mark.parametrize(
    ("level", "expected"),
    [("hard", Verdict.VALID_UNTRUSTED), ("grace", Verdict.VALID), ("soft", Verdict.VALID)],
)
async def test_unknown_by_level_inbound(web: Web, level: Strictness, expected: Verdict) -> None:
    """A signature would pass as checked though nobody could be asked."""
    signer = web.ca.ensure(BOB, START).signer
    verdict, _, results = told(await web.arrived(level, signer))
    assert verdict is Verdict.VALID
    assert "revoked" not in results
    await web.server.stop()
    web.now += timedelta(days=9)
    verdict, decision, results = told(await web.arrived(level, signer))
    assert verdict is expected
    (layer,) = [one for one in decision.layers if one["layer"] == "revocation"]
    unknown = "bob@partner.example' is revoked is not known: a list does not count"
    assert (unknown in str(layer["reasons"])) is (level != "grace")
    assert (unknown in results) is (level != "grace")


async def test_a_ca_without_lists(web: Web) -> None:
    """A small partner's CA names nobody to ask: mail to it would end, or nobody would know."""
    plain = web.pointing()
    one = plain.issue(BOB, "encrypt", START)
    signer = plain.ensure(BOB, START).signer
    web.know(one)
    for level in LEVELS:
        choice = await web.chosen(level)
        assert (choice.chosen == one) is (level != "hard"), level
        reason = str((choice.remarks, choice.rejected))
        assert "is not known: there is no list of its issuer" in reason
        verdict, decision, _ = told(await web.arrived(level, signer))
        assert (verdict is Verdict.VALID) is (level != "hard"), level
        assert "no list of its issuer" in str(decision.layers)


async def test_explain_asks_and_keeps_nothing(web: Web, tmp_path: Path) -> None:
    """It tells that mail leaves encrypted, and in truth the certificate is revoked."""
    bad = web.ca.issue(BOB, "encrypt", START)
    web.know(bad)
    web.ca.revoke(bad, "keyCompromise", START)
    kek = Kek(b"k" * 32)
    seal = Sealer(kek, "queue")
    stores = Stores(
        web.ours,
        Vault(web.ours, Sealer(kek, "private-key")),
        None,
        tmp_path / "queue",
        seal,
        Mac(kek, "trace"),
        seal,
    )
    mail = f"From: alice@xyz.example\nTo: {BOB}\nSubject: x\n\nhello\n".encode()
    request = explanation.Request.parse(mail, "alice@xyz.example", (str(BOB),), "")
    found = await explanation._explained(settings("soft"), stores, request, START)
    (decision,) = found.decisions
    assert decision.certificate is None
    assert "was revoked on 2026-06-01 (keyCompromise)" in decision.rejected[0].reason
    later = START + timedelta(days=365)
    assert web.ours.statuses.due(later, START - timedelta(days=1), 10) == ()


async def test_without_a_way_to_the_world_mail_does_not_wait(web: Web) -> None:
    """Every mail of an air-gapped company would stand still for seconds."""
    asked: list[str] = []
    never: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def silence(url: str, maximum: int, *, body: bytes = b"", kind: str = "") -> bytes:
        asked.append(f"{url} {maximum} {body!r} {kind}")
        return await asyncio.shield(never)

    web.revocations = Revocations(silence, web.ours.statuses, lambda: web.now, patience=0.01)
    chain = web.chain(web.ca.issue(BOB, "encrypt", START))
    cut = []
    for _ in range(3):
        cut.append(web.revocations.is_cut_off)
        await web.revocations.evidence(chain, required=False, grace=timedelta())
        web.revocations._patience *= 100
    cut.append(web.revocations.is_cut_off)
    web.now += timedelta(minutes=11)
    cut.append(web.revocations.is_cut_off)
    assert cut == [False, False, True, True, False]
    assert len(asked) == 2  # the leaf's list and the issuing CA's, once
    await web.revocations.close()


@dataclass(frozen=True)
class Apart(Pointers):
    """Lists and answers at two places: OpenSSL's responder dies of being asked for a list."""

    responder: str = ""

    def _name(self, path: str) -> x509.UniformResourceIdentifier:
        url = self.responder if path == OCSP else self.url
        return x509.UniformResourceIdentifier(url + path)


@contextmanager
def responder(
    folder: Path, port: int, ca: LocalAuthority, bad: Certificate, good: Certificate
) -> Iterator[None]:
    """OpenSSL's own, over the index of a CA in which one certificate is revoked."""
    issuing = ca.issuing
    key = ca.lend(issuing).key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "ca.pem").write_bytes(issuing.x509.public_bytes(Encoding.PEM))
    (folder / "ca.key").write_bytes(key)
    lines = [
        f"R\t360101000000Z\t260601120000Z,keyCompromise\t{bad.serial:X}\tunknown\t/CN=x",
        f"V\t360101000000Z\t\t{good.serial:X}\tunknown\t/CN=y",
    ]
    (folder / "index.txt").write_text("".join(f"{one}\n" for one in lines))
    command = ["openssl", "ocsp", "-index", "index.txt", "-port", str(port), "-CA", "ca.pem"]
    command += ["-rsigner", "ca.pem", "-rkey", "ca.key", "-ndays", "1"]
    running = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        assert running.stdout is not None
        while b"waiting" not in running.stdout.readline():
            assert running.poll() is None
        yield
    finally:
        running.kill()
        running.communicate()


@pytest.mark.peer("openssl")
async def test_openssl_answers(web: Web, tmp_path: Path) -> None:
    """A responder that we did not write says "revoked", and we do not understand."""
    web.now = datetime.now(UTC)  # OpenSSL's answers are of today
    port = free_port()
    nowhere = f"http://127.0.0.1:{web.server.port}/nowhere"
    theirs = replace(web.ca, pointers=Apart(nowhere, f"http://127.0.0.1:{port}"))
    bad, good = (theirs.issue(BOB, "encrypt", web.now) for _ in range(2))
    web.know(bad, good)
    with responder(tmp_path, port, web.ca, bad, good):
        choice = await web.chosen("hard")
    assert choice.chosen == good
    assert "(keyCompromise)" in choice.rejected[0].reason
    assert choice.remarks == ()
