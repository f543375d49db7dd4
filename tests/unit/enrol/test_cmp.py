"""CMP (RFC 9810) against the server of OpenSSL, and against messages it would never send."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from tests.peers.authority import OpensslAuthority
from tests.peers.cmp_server import CmpServer
from tests.unit.enrol.asking import OTHER, wanted

from gatepost.certificate import Certificate
from gatepost.cms import der
from gatepost.enrol import cmp_message as wire
from gatepost.enrol import cmp_protection as protection
from gatepost.enrol.carrier import Answer as Answered
from gatepost.enrol.carrier import Carrier
from gatepost.enrol.cmp import Cmp
from gatepost.enrol.cmp_conversation import Declined
from gatepost.enrol.cmp_message import Thread
from gatepost.enrol.cmp_protection import Secret
from gatepost.enrol.source import Issued, Pending, Wanted
from gatepost.errors import GatepostError, Malformed, Refused, Unavailable

pytestmark = pytest.mark.peer("openssl")

NOW = datetime.now(UTC)
SECRET = Secret("gateway", "open sesame")
NOBODY = x509.Name([]).public_bytes()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    return OpensslAuthority.made(tmp_path_factory.mktemp("authority"))


def cmp(url: str, password: str = "open sesame") -> Cmp:
    return Cmp("peer", Carrier(url), Secret("gateway", password))


Served = Callable[..., CmpServer]


@pytest.fixture
def served(authority: OpensslAuthority, tmp_path: Path) -> Served:
    """A server that gives out what is right for the request, unless told otherwise."""

    def made(asked: Wanted, *options: str, leaf: bytes = b"") -> CmpServer:
        above = b"".join(
            (authority.folder / one).read_bytes() for one in ("root.pem", "issuing.pem")
        )
        return CmpServer(tmp_path, leaf or authority.issued(asked.request), above, options=options)

    return made


async def test_enrolled(served: Served) -> None:
    """Nobody gets a certificate, or the authority takes it back for want of a receipt."""
    asked = wanted()
    with served(asked) as server:
        found = await cmp(server.url).request(asked, NOW)
    assert isinstance(found, Issued)
    assert [one.name for one in found.chain] == ["alice@example.com", "Peer Issuing", "Peer Root"]


async def test_signed_answers(served: Served, authority: OpensslAuthority, tmp_path: Path) -> None:
    """Whoever signs as somebody else is believed, or nobody who signs."""
    asked = wanted()
    certificate, key = authority.certify("signer", "/CN=CMP", "server")
    (signer, *_) = Certificate.from_pem(certificate.read_bytes())
    (other, *_) = Certificate.from_pem(authority.root.read_bytes())
    with replace(served(asked), signer=(certificate, key)) as server:
        for wrong in ((), (other,)):
            with pytest.raises(Unavailable, match="does not prove that it knows our secret"):
                await replace(cmp(server.url), signers=wrong).request(asked, NOW)
        source = replace(cmp(server.url), signers=(signer,))
        with pytest.raises(Unavailable, match="does not prove"):  # its certificate is over
            await source.request(asked, NOW + timedelta(days=21))
        found = await source.request(asked, NOW)
    assert isinstance(found, Issued)
    assert len(found.chain) == 3


async def test_pending(served: Served) -> None:
    """Where a human decides, nobody ever gets a certificate."""
    asked = wanted()
    with served(asked, "-poll_count", "2", "-check_after", "300") as server:
        source = cmp(server.url)
        first = await source.request(asked, NOW)
        assert isinstance(first, Pending)
        assert first.waits_for == f"the decision of {source.carrier.host}"
        second = await source.collect(asked, first.state, NOW)
        assert isinstance(second, Pending)
        assert second.again == timedelta(minutes=5)
        # another process goes on
        assert isinstance(await cmp(server.url).collect(asked, second.state, NOW), Issued)
    assert SECRET.password not in first.state


async def test_wrong_certificate(served: Served, authority: OpensslAuthority) -> None:
    """A certificate nobody has the key of is filed, and the authority believes it is in use."""
    leaf = authority.issued(wanted(key=OTHER).request)
    with (
        served(wanted(), leaf=leaf) as server,
        pytest.raises(Refused, match=r"one for 'alice@example\.com', with another key"),
    ):
        await cmp(server.url).request(wanted(), NOW)


async def test_expired(served: Served) -> None:
    """A certificate that is over replaces one that is not."""
    with served(wanted()) as server, pytest.raises(Refused, match="the certificate expired on"):
        await cmp(server.url).request(wanted(), NOW + timedelta(days=11))


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        (
            ("-pkistatus", "2", "-failure", "19", "-statusstring", "no such person"),
            Refused,
            "refuses the request: badCertTemplate: no such person$",
        ),
        (("-pkistatus", "2", "-failure", "24"), Unavailable, "cannot answer now: systemUnavail"),
        (("-send_error",), Refused, "refuses the request: badRequest: error processing message"),
        (("-send_unprotected",), Unavailable, "does not prove that it knows our secret"),
        (("-send_error", "-send_unprotected"), Unavailable, "said without proof"),
    ],
)
async def test_refused(
    served: Served, options: tuple[str, ...], kind: type[GatepostError], told: str
) -> None:
    """Nobody learns why there is no certificate, or a stranger ends the request."""
    asked = wanted()
    with served(asked, *options) as server, pytest.raises(kind, match=told):
        await cmp(server.url).request(asked, NOW)


async def test_wrong_password(served: Served) -> None:
    """Whoever does not know the secret is believed."""
    asked = wanted()
    with (
        served(asked, "-accept_unprotected") as server,
        pytest.raises(Unavailable, match="does not prove that it knows our secret"),
    ):
        await cmp(server.url, "wrong").request(asked, NOW)


Answer = Callable[[Thread], bytes]
PKIX = "application/pkixcmp"


@asynccontextmanager
async def answering(answer: Answer, kind: str = PKIX, status: int = 200) -> AsyncIterator[str]:
    """A server that answers each message with octets of the test's."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = sum(
            int(one.partition(b":")[2])
            for one in head.lower().split(b"\r\n")
            if one.startswith(b"content-length:")
        )
        asked = wire.read(await reader.readexactly(length)).thread if length else Thread(b"", b"")
        body = answer(asked)
        fields = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close"
        writer.write(f"HTTP/1.1 {status} Said\r\n{fields}\r\n\r\n".encode() + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/cmp"


def reply(asked: Thread, kind: int, body: bytes, secret: Secret = SECRET, **other: bytes) -> bytes:
    thread = Thread(
        other.get("transaction", asked.transaction), bytes(16), other.get("nonce", asked.nonce)
    )
    return wire.write(kind, body, thread, secret, NOBODY, entropy=bytes, now=NOW)


def response(status: int, *others: bytes) -> bytes:
    one = der.sequence(der.integer(-1), der.sequence(der.integer(status)), *others)
    return der.sequence(der.sequence(one))


ENCRYPTED = der.sequence(der.explicit(1, der.sequence()))
BROKEN = der.sequence(der.explicit(0, der.sequence()))


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (lambda _: b"", Unavailable, "what is no CMP"),
        (lambda _: b"\x30\x84\xff\xff\xff\xff", Unavailable, "what is no CMP"),
        (lambda asked: reply(asked, wire.CP, response(3))[:-1], Unavailable, "what is no CMP"),
        (lambda asked: reply(asked, wire.CP, b""), Unavailable, "what is no CMP"),
        (lambda asked: reply(asked, wire.CP, der.sequence(der.sequence())), Unavailable, "no CMP"),
        (lambda asked: reply(asked, wire.CP, response(0, BROKEN)), Unavailable, "not a certif"),
        (
            lambda asked: reply(asked, wire.CP, response(0, ENCRYPTED)),
            Refused,
            "encrypted, unasked",
        ),
        (lambda asked: reply(asked, wire.CP, response(0)), Refused, "refuses the request"),
        (lambda asked: reply(asked, wire.POLL_REP, der.sequence()), Unavailable, "no CMP"),
        (lambda asked: reply(asked, wire.PKI_CONF, der.NULL), Unavailable, "kind 19"),
        (lambda asked: reply(asked, wire.ERROR, der.NULL), Unavailable, "error of its own making"),
        (
            lambda asked: reply(asked, wire.CP, response(3), transaction=bytes(16)),
            Unavailable,
            "answers another question",
        ),
        (
            lambda asked: reply(asked, wire.CP, response(3), nonce=bytes(16)),
            Unavailable,
            "answers another question",
        ),
        (
            lambda asked: reply(asked, wire.CP, response(3), Secret("gateway", "guessed")),
            Unavailable,
            "does not prove",
        ),
        (lambda _: b"M" * 10_000_000, Unavailable, "more than 1048576 octets"),
    ],
)
async def test_faulty(answer: Answer, kind: type[GatepostError], told: str) -> None:
    """A server at fault, or somebody in between, takes us down or is believed."""
    async with answering(answer) as url:
        with pytest.raises(kind, match=told):
            await cmp(url).request(wanted(), NOW)


@pytest.mark.parametrize(
    ("kind", "status", "error", "told"),
    [
        ("text/html", 200, Unavailable, r"does not answer with CMP \(200\): hello$"),
        ("text/html", 404, Unavailable, r"has no CMP service here \(404\): see url"),
        ("text/html", 503, Unavailable, r"\(503\)"),
    ],
)
async def test_no_cmp(kind: str, status: int, error: type[GatepostError], told: str) -> None:
    """A web server's page is taken for an answer."""
    async with answering(lambda _: b"hello", kind, status) as url:
        with pytest.raises(error, match=told):
            await cmp(url).request(wanted(), NOW)


async def test_answers() -> None:
    """An administrator learns from the first mail that waits that the server is away."""
    async with answering(lambda _: b"", status=405) as url:
        assert (await cmp(url).answers(NOW)).endswith(
            "is there (HTTP 405); nothing was asked of it"
        )
    with pytest.raises(Unavailable):
        await cmp(url).answers(NOW)


def test_too_many_rounds() -> None:
    """One answer keeps a processor busy for minutes."""
    octets = reply(Thread(b"t", b"n"), wire.CP, response(3))
    assert wire.read(octets).is_from(SECRET)
    rounds = der.integer(protection.ROUNDS)
    assert octets.count(rounds) == 1
    many = octets.replace(rounds, b"\x02\x02\x7f\xff").replace(rounds, b"")
    assert not wire.read(many).is_from(SECRET)
    parameter = der.sequence(
        der.octet_string(bytes(16)),
        der.sequence(der.oid("2.16.840.1.101.3.4.2.1")),
        der.integer(protection.MOST_ROUNDS + 1),
        der.sequence(der.oid("1.2.840.113549.2.9")),
    )
    with pytest.raises(ValueError, match="too many rounds"):
        protection.mac(der.sequence(der.oid("1.2.840.113533.7.66.13"), parameter), b"", b"")


def test_every_bit_counts() -> None:
    """Somebody in between changes an answer."""
    octets = reply(Thread(b"t" * 16, b"n" * 16), wire.CP, response(3))
    for at in range(len(octets)):
        changed = octets[:at] + bytes((octets[at] ^ 1,)) + octets[at + 1 :]
        try:
            found = wire.read(changed)
        except Malformed:
            continue
        assert not found.is_from(SECRET), at


def test_certificates_without_a_hash() -> None:
    """RFC 9810 section 5.3.18: a receipt for an Ed25519 signature names the hash it is made with."""
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Ed")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(1))
        .sign(key, None)
        .public_bytes(Encoding.DER)
    )
    version, body = wire.confirmation(Certificate.from_der(made), -1)
    assert version == 3
    assert hashlib.sha512(made).digest() in body
    assert body.endswith(der.explicit(0, der.sequence(der.oid("2.16.840.1.101.3.4.2.3"))))


class Mangling(Carrier):
    """Answers with what somebody has been at, sometimes before it was protected."""

    __slots__ = ()

    async def post(self, path: str, body: bytes, kind: str, **fields: str) -> Answered:
        asked = wire.read(body).thread
        number, content = CHANCE.choice(BODIES)
        if CHANCE.random() < 0.5:
            return Answered(200, kind, mangled(reply(asked, number, content)))
        return Answered(200, kind, reply(asked, number, mangled(content)))


CHANCE = random.Random(20260601)
TEXTS = der.sequence(der.tlv(0x0C, b"somebody looks at it"))
BODIES = (
    (wire.CP, response(3)),
    (wire.CP, response(2, TEXTS)),
    (wire.CP, der.sequence(der.explicit(1, der.sequence(der.sequence())), response(0, BROKEN))),
    (wire.POLL_REP, der.sequence(der.sequence(der.integer(-1), der.integer(60), TEXTS))),
    (wire.ERROR, der.sequence(der.sequence(der.integer(2), TEXTS, der.bit_string(b"\x04")))),
)


def mangled(octets: bytes) -> bytes:
    found = bytearray(octets)
    for _ in range(CHANCE.choice((1, 1, 2, 4))):
        at = CHANCE.randrange(len(found) + 1)
        match CHANCE.randrange(3):
            case 0:
                found[at : at + CHANCE.randrange(4)] = CHANCE.randbytes(CHANCE.randrange(3))
            case 1:
                found[at : at + 1] = b"\x84\xff\xff\xff\xff"[: CHANCE.randrange(1, 6)]
            case _:
                del found[at:]
    return bytes(found)


async def test_mangled(monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority's answer stops whoever asks for all others."""
    monkeypatch.setattr(protection, "ROUNDS", 1)
    source = Cmp("peer", Mangling("http://ca.example"), SECRET)
    outcomes: set[type] = set()
    asked = wanted()
    for _ in range(600):
        try:
            outcomes.add(type(await source.request(asked, NOW)))
        except (Refused, Unavailable) as error:
            outcomes.add(type(error))
    assert outcomes == {Pending, Declined, Unavailable}
