"""Who a client is: passwords, certificates and proxies, against independent programs."""

import asyncio
import base64
import smtplib
import ssl
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from tests.dialogues.company import Company
from tests.patience import PATIENCE
from tests.unit.net.scene import (
    HELLO,
    HOST,
    OPEN,
    calling,
    envelope,
    listening,
    pretending,
    relaying,
    self_signed,
)

from gatepost.mail.content import Octets
from gatepost.mail.delivery import Credentials, NextHop
from gatepost.net.peer import PeerCertificate
from gatepost.net.roster import ConnectionLimits
from gatepost.net.settings import EdgeSettings, RelaySettings
from gatepost.net.tls import client_context, server_context
from gatepost.smtp.sasl import MECHANISMS
from gatepost.smtp.scram import Verifier
from gatepost.smtp.settings import ServerSettings

BODY = Octets(b"Subject: x\r\n\r\n.dot\r\n")
MAIL = OPEN + b"DATA\r\nSubject: x\r\n.\r\n"
AUTH = EdgeSettings(ServerSettings("gw.example", mechanisms=MECHANISMS), login_delay=0.0)
ALICE = Credentials("alice", "secret")


def log_in(port: int, password: str, mechanism: str) -> int:
    """Python's own client logs in."""
    with smtplib.SMTP(HOST, port, timeout=PATIENCE) as client:
        client.ehlo()
        client.user, client.password = "alice", password
        ask = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login}[mechanism]
        try:
            return int(client.auth(mechanism, ask)[0])
        except smtplib.SMTPAuthenticationError as error:
            return int(error.smtp_code)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_smtplib_logs_in(mechanism: str) -> None:
    """People cannot log in, or anybody can."""
    company = Company()
    async with listening(company, AUTH, authenticator=company) as listener:
        assert await asyncio.to_thread(log_in, listener.port, "secret", mechanism) == 235
        assert await asyncio.to_thread(log_in, listener.port, "wrong", mechanism) == 535


@pytest.mark.peer("swaks")
@pytest.mark.parametrize(("password", "code"), [("secret", 0), ("wrong", 28)])
async def test_swaks_logs_in(password: str, code: int) -> None:
    """A log-in does not work, or is not known to whoever decides about the mail."""
    company = Company()
    async with listening(company, AUTH, authenticator=company) as listener:
        process = await asyncio.create_subprocess_exec(
            "swaks", "--server", f"{HOST}:{listener.port}", "--auth", "PLAIN",
            "--auth-user", "alice", "--auth-password", password,
            "--from", "a@x.example", "--to", "b@y.example", "--helo", "c.example",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await process.communicate()
        assert process.returncode == code
    seen = [(session.authenticated_as, session.protocol) for session, _, _ in company.kept]
    assert seen == ([("alice", "ESMTPA")] if code == 0 else [])


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("password", ["secret", "wrong"])
async def test_our_client_logs_in(mechanism: str, password: str) -> None:
    """Mail does not reach a hop that asks who we are."""
    company = Company()
    settings = EdgeSettings(ServerSettings("gw.example", mechanisms=(mechanism,)), login_delay=0.0)
    async with (
        listening(company, settings, authenticator=company) as listener,
        relaying(RelaySettings()) as relay,
    ):
        hop = NextHop(HOST, listener.port, credentials=Credentials("alice", password))
        (attempt,) = await relay.deliver(hop, envelope(), BODY)
    if password == "secret":
        assert attempt.reply.code == 250
        assert company.kept[0][0].authenticated_as == "alice"
    else:
        assert (attempt.reply.code, attempt.reply.status) == (451, "4.7.0")
        assert company.kept == []


async def test_guessing() -> None:
    """A robot tries one password after another, over many connections."""
    company = Company()
    limits = ConnectionLimits(failed_logins_per_minute=4)
    wrong = b"AUTH PLAIN " + base64.b64encode(b"\0alice\0wrong") + b"\r\n"
    right = b"AUTH PLAIN " + base64.b64encode(b"\0alice\0secret") + b"\r\n"
    async with listening(company, AUTH, authenticator=company, limits=limits) as listener:
        for expected in ([250, 535, 535, 235], [250, 535, 535, 454]):
            async with calling(listener.port) as caller:
                caller.say(HELLO + wrong * 2 + right)
                assert await caller.hear(4) == expected


class Absent(Company):
    """The accounts cannot be read now."""

    def verifier(self, name: str) -> Verifier:
        raise OSError("gone")


@pytest.mark.parametrize("first", [b"PLAIN AGFsaWNlAGE=", b"SCRAM-SHA-256 biwsbj1hLHI9YWJj"])
async def test_nobody_knows_the_passwords(first: bytes) -> None:
    """A broken directory hangs every log-in, or lets everybody in."""
    async with (
        listening(Absent(), AUTH, authenticator=Absent()) as listener,
        calling(listener.port) as caller,
    ):
        caller.say(HELLO + b"AUTH " + first + b"\r\nNOOP\r\n")
        assert await caller.hear(3) == [250, 451, 250]


class Knower:
    """aiosmtpd's authenticator."""

    def __call__(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        assert isinstance(data, LoginPassword)
        is_right = (data.login, data.password) == (b"alice", b"secret")
        return AuthResult(success=is_right, handled=False, auth_data=data)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_aiosmtpd_lets_us_in(tmp_path: Path, mechanism: str) -> None:
    """Only our own server understands how we log in."""
    pem = self_signed(tmp_path)
    kept: list[str] = []

    class Keeper:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            kept.append(session.auth_data.login.decode())
            return "250 2.0.0 kept"

    other = "LOGIN" if mechanism == "PLAIN" else "PLAIN"
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(
            Keeper(),
            authenticator=Knower(),
            auth_required=True,
            auth_exclude_mechanism=[other],
            tls_context=server_context(pem.certificate, pem.key),
        ),
        HOST,
        0,
    )
    async with relaying(RelaySettings()) as relay:
        port = server.sockets[0].getsockname()[1]
        for credentials, code in ((ALICE, 250), (Credentials("alice", "no"), 451), (None, 530)):
            hop = NextHop(HOST, port, "required", credentials=credentials)
            (attempt,) = await relay.deliver(hop, envelope(), BODY)
            assert attempt.reply.code == code
    server.close()
    assert kept == ["alice"]


async def test_no_password_for_strangers_in_clear() -> None:
    """A password is sent where everybody can read it, or to an impostor."""
    offer = [b"220 mx\r\n", 1, b"250-mx\r\n250 AUTH SCRAM-SHA-256\r\n", 1]
    forged = [*offer, b"235 come in\r\n", 3]
    none = [b"220 mx\r\n", 1, b"250-mx\r\n250 AUTH CRAM-MD5\r\n", 1]
    for act, status in ((forged, "4.5.0"), (none, "4.7.0")):
        async with pretending(act) as plain, relaying() as relay:
            hop = NextHop(HOST, plain.port, "none", credentials=ALICE)
            (attempt,) = await relay.deliver(hop, envelope(), BODY)
            assert (attempt.reply.code, attempt.reply.status) == (451, status)


# ── TLS ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.peer("openssl")
async def test_openssl_speaks_implicit_tls(tmp_path: Path) -> None:
    """Port 465 does not work with others' TLS (RFC 8314)."""
    pem = self_signed(tmp_path)
    company = Company()
    tls = server_context(pem.certificate, pem.key)
    async with listening(company, tls=tls, is_implicit_tls=True) as listener:
        process = await asyncio.create_subprocess_exec(
            "openssl", "s_client", "-quiet", "-connect", f"{HOST}:{listener.port}",
            "-CAfile", str(pem.certificate), "-verify_return_error",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        out, _ = await process.communicate(HELLO + MAIL + b"QUIT\r\n")
    assert b"221" in out
    assert b"250-REQUIRETLS" in out or b"250 REQUIRETLS" in out
    assert (company.kept[0][0].protocol, len(company.kept)) == ("ESMTPS", 1)


@pytest.mark.parametrize("policy", ["opportunistic", "required", "verified"])
async def test_our_client_speaks_implicit_tls(tmp_path: Path, policy: str) -> None:
    """A hop that has TLS from the first octet is never reached."""
    pem = self_signed(tmp_path)
    company = Company()
    tls = server_context(pem.certificate, pem.key)
    async with (
        listening(company, tls=tls, is_implicit_tls=True) as listener,
        relaying(RelaySettings()) as relay,
    ):
        hop = NextHop(
            HOST, listener.port, policy, tls_ca=str(pem.certificate), implicit_tls=True  # type: ignore[arg-type]
        )  # fmt: skip
        (attempt,) = await relay.deliver(hop, envelope(), BODY)
        assert attempt.reply.code == 250
        assert attempt.tls is not None
        other = NextHop(HOST, listener.port, "verified", "x.example", "", implicit_tls=True)
        (attempt,) = await relay.deliver(other, envelope(), BODY)
        assert (attempt.reply.code, attempt.reply.status) == (451, "4.7.5")
    assert len(company.kept) == 1


@pytest.mark.parametrize("is_implicit", [False, True])
async def test_client_certificates(tmp_path: Path, is_implicit: bool) -> None:
    """An Exchange connector is not recognised by its certificate, or anybody is taken for it."""
    for name in ("ours", "theirs", "other"):
        (tmp_path / name).mkdir()
    ours = self_signed(tmp_path / "ours")
    theirs = self_signed(tmp_path / "theirs", "mail.protection.example")
    other = self_signed(tmp_path / "other", "mail.protection.example")
    company = Company()
    tls = server_context(ours.certificate, ours.key, ask=True, anchors=str(theirs.certificate))
    async with listening(company, tls=tls, is_implicit_tls=is_implicit) as listener:
        for identity, code in ((theirs, 250), (None, 250), (other, 451)):
            shown = None if identity is None else (identity.certificate, identity.key)
            async with relaying(RelaySettings(identity=shown)) as relay:
                hop = NextHop(HOST, listener.port, "required", implicit_tls=is_implicit)
                (attempt,) = await relay.deliver(hop, envelope(), BODY)
                assert attempt.reply.code == code
    certificate = company.kept[0][0].certificate
    assert certificate is not None
    assert certificate.names == ("mail.protection.example",)
    assert certificate.matches("MAIL.protection.example")
    assert certificate.matches("*.protection.example")
    assert certificate.matches(f"sha256:{certificate.fingerprint.upper()}")
    assert not certificate.matches("test")  # its common name
    assert not certificate.matches("protection.example")
    assert company.kept[1][0].certificate is None
    assert len(company.kept) == 2


def test_wildcards_in_certificates() -> None:
    """Somebody's wildcard certificate stands for a name that was trusted."""
    wide = PeerCertificate("x", ("*.example.com",), "ab")
    assert not wide.matches("mail.example.com")
    assert wide.matches("*.example.com")
    assert not wide.matches("*.com")


async def test_requiretls(tmp_path: Path) -> None:
    """Mail whose author demanded TLS all the way leaves without it (RFC 8689)."""
    pem = self_signed(tmp_path)
    company = Company()
    tls = server_context(pem.certificate, pem.key)
    async with listening(company, tls=tls) as listener, relaying(RelaySettings()) as relay:
        demand = b"MAIL FROM:<a@x.example> REQUIRETLS\r\n"
        async with calling(listener.port) as caller:
            caller.say(HELLO + demand)
            assert await caller.hear(2) == [250, 555]
            caller.say(b"STARTTLS\r\n")
            assert await caller.hear() == [220]
            await caller.writer.start_tls(client_context(verify=False))
            caller.say(HELLO + demand + b"RCPT TO:<b@y.example>\r\nDATA\r\n.\r\n")
            assert await caller.hear(5) == [250, 250, 250, 354, 250]
        demanded = company.kept[0][1]
        assert demanded.requiretls
        verified = NextHop(HOST, listener.port, "verified", tls_ca=str(pem.certificate))
        for hop, code in ((verified, 250), (NextHop(HOST, listener.port, "required"), 550)):
            (attempt,) = await relay.deliver(hop, demanded, BODY)
            assert attempt.reply.code == code
        assert company.kept[1][1].requiretls
        assert attempt.reply.status == "5.7.30"
    async with listening(company) as plain, relaying(RelaySettings()) as relay:
        (attempt,) = await relay.deliver(NextHop(HOST, plain.port), demanded, BODY)
        assert attempt.reply.code == 550
    assert len(company.kept) == 2


# ── proxies and filters ──────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Said:
    peer: str
    port: int
    name: str


async def test_xclient() -> None:
    """A proxy's clients have the proxy's rights, or strangers choose their own."""
    company = Company()
    here = (ip_network("127.0.0.0/8"),)
    settings = EdgeSettings(ServerSettings("gw.example"), trusted=here, substitute_from=here)
    xclient = b"XCLIENT ADDR=192.0.2.9 PORT=4711 LOGIN=bob NAME=[UNAVAILABLE]\r\n"
    async with listening(company, settings) as listener, calling(listener.port) as caller:
        caller.say(HELLO + xclient + HELLO + b"XCLIENT ADDR=127.0.0.1\r\n" + MAIL)
        assert await caller.hear(8) == [250, 220, 250, 550, 250, 250, 354, 250]
    session = company.kept[0][0]
    seen = Said(session.peer, session.port, session.authenticated_as)
    assert seen == Said("192.0.2.9", 4711, "bob")
    async with listening(company) as listener, calling(listener.port) as caller:
        caller.say(HELLO + xclient)
        assert await caller.hear(2) == [250, 550]


async def test_xforward_to_a_hop() -> None:
    """The mail server behind us thinks all mail is from us; or strangers are told of our people."""
    company = Company()
    here = EdgeSettings(ServerSettings("gw.example"), forward_from=(ip_network("127.0.0.0/8"),))
    origin = (("ADDR", "IPV6:2001:db8::7"), ("HELO", "a b=c"), ("NAME", "spike.example"))
    mail = envelope()
    mail = type(mail)(mail.return_path, mail.recipients, origin=origin)
    async with listening(company, here) as listener, relaying(RelaySettings()) as relay:
        for xforward in (True, False):
            hop = NextHop(HOST, listener.port, xforward=xforward)
            (attempt,) = await relay.deliver(hop, mail, BODY)
            assert attempt.reply.code == 250
    first, second = (dict(session.forwarded) for session, _, _ in company.kept)
    assert {name: first[name] for name in ("ADDR", "HELO", "NAME", "PORT")} == {
        **dict(origin),
        "PORT": "",
    }
    assert second == {}


# ── LMTP and chunks ──────────────────────────────────────────────────────────────────


def deliver_by_lmtp(port: int) -> dict[str, tuple[int, bytes]]:
    """Python's own LMTP client, which reads one reply for each recipient (RFC 2033)."""
    with smtplib.LMTP(HOST, port) as client:
        client.ehlo("c.example")
        client.mail("a@x.example")
        accepted = [
            name
            for name in ("b@y.example", "refuse@y.example", "full@y.example")
            if client.rcpt(name)[0] == 250
        ]
        client.docmd("DATA")
        client.send(b"Subject: x\r\n.\r\n")
        return {name: client.getreply() for name in accepted}


async def test_smtplib_delivers_by_lmtp() -> None:
    """A mail server that delivers to us by LMTP mixes up its recipients."""
    company = Company()
    settings = EdgeSettings(ServerSettings("gw.example", lmtp=True))
    async with listening(company, settings) as listener:
        results = await asyncio.to_thread(deliver_by_lmtp, listener.port)
        codes = {name: reply[0] for name, reply in results.items()}
        assert codes == {"b@y.example": 250, "full@y.example": 452}
    assert company.kept[0][0].protocol == "LMTP"


async def test_our_client_delivers_by_lmtp() -> None:
    """One full mailbox refuses the mail of all."""
    company = Company()
    settings = EdgeSettings(ServerSettings("gw.example", lmtp=True))
    to = envelope("b@y.example", "refuse@y.example", "full@y.example", "c@y.example")
    async with listening(company, settings) as listener, relaying(RelaySettings()) as relay:
        for chunking in (False, True):
            hop = NextHop(HOST, listener.port, lmtp=True, chunking=chunking)
            for _ in range(2):
                attempts = await relay.deliver(hop, to, BODY)
                assert [attempt.reply.code for attempt in attempts] == [250, 550, 452, 250]
            nobody = await relay.deliver(hop, envelope("refuse@y.example"), BODY)
            assert [attempt.reply.code for attempt in nobody] == [550]
        smtp = await relay.deliver(NextHop(HOST, listener.port), to, BODY)
        assert {attempt.reply.code for attempt in smtp} == {500}


class Miscounting(Company):
    """Answers for another number of recipients."""

    def message(self, session: Any, envelope: Any, content: Any) -> Any:
        return []


async def test_a_reply_for_each_or_for_none() -> None:
    """A fault of the application leaves the client waiting for replies."""
    settings = EdgeSettings(ServerSettings("gw.example", lmtp=True))
    async with listening(Miscounting(), settings) as listener, calling(listener.port) as caller:
        caller.say(b"LHLO c\r\n" + MAIL + b"NOOP\r\n")
        assert await caller.hear(6) == [250, 250, 250, 354, 451, 250]


async def test_chunks_to_a_hop() -> None:
    """A message sent by BDAT is cut, doubled or refused."""
    company = Company()
    large = Octets(
        b"Subject: large\r\n\r\n" + b".x" * 39 + b"\r\n" + (b"y" * 78 + b"\r\n") * 60_000
    )
    async with listening(company) as listener, relaying(RelaySettings()) as relay:
        hop = NextHop(HOST, listener.port, chunking=True)
        for content in (BODY, large, Octets(b"")):
            (attempt,) = await relay.deliver(hop, envelope(), content)
            assert attempt.reply.code == 250
        assert listener.connections == 1
    assert [octets for _, _, octets in company.kept] == [BODY.data, large.data, b""]
    offer = [
        b"220 mx\r\n",
        1,
        b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
        2,
        b"250 ok\r\n" * 2,
    ]
    refusing = [*offer, 2, b"552 5.3.4 too big\r\n", 5.0]
    async with pretending(refusing) as plain, relaying() as relay:
        hop = NextHop(HOST, plain.port, "none", chunking=True)
        (attempt,) = await relay.deliver(hop, envelope(), large)
        assert str(attempt.reply) == "552 5.3.4 too big"


def test_contexts_ask_for_certificates_only_where_wanted(tmp_path: Path) -> None:
    """Every client's self-signed certificate ends its handshake."""
    pem = self_signed(tmp_path)
    assert server_context(pem.certificate, pem.key).verify_mode is ssl.CERT_NONE
    asking = server_context(pem.certificate, pem.key, ask=True)
    assert asking.verify_mode is ssl.CERT_OPTIONAL
