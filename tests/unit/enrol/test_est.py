"""EST (RFC 7030) against a server whose TLS, certificates and PKCS #7 are OpenSSL's."""

import base64
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.peers.authority import OpensslAuthority
from tests.peers.est_server import BAG, EstServer, Reply
from tests.unit.enrol.asking import KEY, OTHER, wanted

from gatepost.certificate import Certificate
from gatepost.cms import der
from gatepost.enrol.carrier import Carrier
from gatepost.enrol.est import Est
from gatepost.enrol.receipt import key_of, requested_key
from gatepost.enrol.source import Issued, Pending
from gatepost.errors import GatepostError, Refused, Unavailable

pytestmark = pytest.mark.peer("openssl")

NOW = datetime.now(UTC)
PASSWORD = "open sesame"
TEXT = {"Content-Type": "text/plain"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EstServer]:
    with EstServer(tmp_path_factory.mktemp("est"), users={"gatepost": PASSWORD}) as server:
        yield server


@pytest.fixture
def server(running: EstServer) -> EstServer:
    """The one server, as if it had just begun."""
    running.attributes, running.undecided, running.retry_after = None, 0, "60"
    for kept in (running.instead, running.heard, running.requests):
        kept.clear()
    return running


def est(server: EstServer, *, label: str = "", heeds: bool = True, **changes: object) -> Est:
    settings: dict[str, object] = {
        "anchors": server.authority.root,
        "user": "gatepost",
        "password": PASSWORD,
        **changes,
    }
    return Est("peer", Carrier(server.url, **settings), label, heeds)  # type: ignore[arg-type]  # changed by name


def unpaired(found: Issued | Pending) -> tuple[Certificate, ...]:
    assert isinstance(found, Issued)
    return found.chain


async def test_enrolled(server: EstServer) -> None:
    """Nobody gets a certificate, or one that nobody can verify for want of its issuers."""
    asked = wanted()
    chain = unpaired(await est(server).request(asked, NOW))
    assert [one.name for one in chain] == ["alice@example.com", "Peer Issuing", "Peer Root"]
    assert key_of(chain[0]) == requested_key(asked.request)
    assert chain[0].emails == ("alice@example.com",)
    assert server.requests == [asked.request]
    assert ("POST", "/.well-known/est/simpleenroll", "user gatepost") in server.heard


async def test_answers(server: EstServer) -> None:
    """An administrator learns from the first mail that waits that the server is away."""
    source = est(server)
    host = source.carrier.host
    assert await source.answers(NOW) == f"{host} answers for 'Peer Issuing', 'Peer Root'"
    with pytest.raises(Refused, match="have all expired"):
        await source.answers(NOW + timedelta(days=40))


async def test_label(server: EstServer) -> None:
    """One of several authorities behind a server is asked by another's name."""
    unpaired(await est(server, label="mail ca").request(wanted(), NOW))
    assert {path for _, path, _ in server.heard} == {
        f"/.well-known/est/mail%20ca/{one}" for one in ("cacerts", "csrattrs", "simpleenroll")
    }


async def test_client_certificate(server: EstServer) -> None:
    """A server that takes no passwords knows nobody."""
    leaf, key = server.authority.certify("gateway", "/CN=gateway", "client")
    source = est(server, user="", password="", certificate=leaf, key=key)
    unpaired(await source.request(wanted(), NOW))
    assert server.heard[-1] == (
        *("POST", "/.well-known/est/simpleenroll"),
        "certificate of gateway",
    )


async def test_renewed(server: EstServer) -> None:
    """Renewals count as new certificates, which some authorities charge for."""
    last = unpaired(await est(server).request(wanted(), NOW))[0]
    again = wanted(key=OTHER, replacing=last)
    assert key_of(unpaired(await est(server).request(again, NOW))[0]) == requested_key(
        again.request
    )
    assert server.heard[-1][1].endswith("/simplereenroll")


async def test_renewed_under_another_name(server: EstServer) -> None:
    """Section 4.2.2: the server refuses a renewal whose names differ."""
    last = unpaired(await est(server).request(wanted(), NOW))[0]
    unpaired(await est(server).request(wanted("bob@example.com", replacing=last), NOW))
    assert server.heard[-1][1].endswith("/simpleenroll")


async def test_whole_domain(server: EstServer) -> None:
    """A domain's certificate (RFC 3183) is refused because no mailbox is called @example.com."""
    mailbox = "domain-confidentiality-authority@example.com"
    found = await est(server).request(wanted("@example.com", "encrypt", mailbox=mailbox), NOW)
    assert unpaired(found)[0].emails == (mailbox,)


async def test_pending(server: EstServer) -> None:
    """Where a human decides, nobody ever gets a certificate."""
    server.undecided = 2
    asked, source = wanted(), est(server)
    first = await source.request(asked, NOW)
    assert first == Pending(
        "simpleenroll",
        timedelta(seconds=60),
        f"the decision of {source.carrier.host}: a human looks at it",
    )
    second = await source.collect(asked, first.state, NOW)
    assert isinstance(second, Pending)
    assert len(unpaired(await source.collect(asked, second.state, NOW))) == 3
    assert server.requests == [asked.request] * 3


@pytest.mark.parametrize(
    ("said", "again"),
    [
        ("5", timedelta(seconds=30)),
        ("9999999999999", timedelta(days=7)),
        (format_datetime(NOW.replace(microsecond=0) + timedelta(hours=3), usegmt=True), None),
        ("soon", timedelta(hours=1)),
        ("", timedelta(hours=1)),
        ("Mon, 01 Jan 2020 00:00:00 +99999999999999", timedelta(hours=1)),
    ],
    # The date is another each time.
    ids=["seconds", "too many", "a date", "a word", "nothing", "a zone beyond the clock"],
)
async def test_retry_after(server: EstServer, said: str, again: timedelta | None) -> None:
    """A server is asked every second, or in a hundred years."""
    server.undecided, server.retry_after = 1, said
    now = NOW.replace(microsecond=0)
    found = await est(server).request(wanted(), now)
    assert isinstance(found, Pending)
    assert found.again == (again or timedelta(hours=3))


_P384 = der.sequence(der.oid("1.2.840.10045.2.1"), der.set_of(der.oid("1.3.132.0.34")))
_P256 = der.sequence(der.oid("1.2.840.10045.2.1"), der.set_of(der.oid("1.2.840.10045.3.1.7")))
_RSA = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.set_of(der.integer(3072)))
_EKU = der.sequence(der.oid("1.2.840.113549.1.9.14"), der.set_of(der.oid("2.5.29.37")))
_SAN = der.sequence(
    der.oid("1.2.840.113549.1.9.14"),
    der.set_of(der.sequence(der.sequence(der.oid("2.5.29.17"), der.octet_string(b"")))),
)
_MAC = der.oid("1.3.6.1.1.1.1.22")  # of an Ethernet interface: not known here
_BOUND = der.oid("1.2.840.113549.1.9.7")


@pytest.mark.parametrize("wishes", [(), (_MAC,), (_P384, _P256), (_SAN, _P256), (_RSA, _P256)])
async def test_wishes_fulfilled(server: EstServer, wishes: tuple[bytes, ...]) -> None:
    """A server whose wishes are fulfilled, or not known, is not even asked."""
    server.attributes = der.sequence(*wishes)
    unpaired(await est(server).request(wanted(), NOW))


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ((_P384,), "wants a key of type EC secp384r1, and this one is EC secp256r1"),
        ((_RSA,), "wants a key of type RSA 3072, and this one is EC secp256r1"),
        ((_P256, _EKU), "wants the extension extKeyUsage in the request"),
        ((_BOUND,), "wants requests bound to its TLS connection"),
    ],
)
async def test_wishes_refused(server: EstServer, wishes: tuple[bytes, ...], told: str) -> None:
    """The server refuses for a reason it keeps to itself."""
    server.attributes = der.sequence(*wishes)
    with pytest.raises(Refused, match=told):
        await est(server).request(wanted(), NOW)
    assert not server.requests
    unpaired(await est(server, heeds=False).request(wanted(), NOW))


async def test_no_base64(server: EstServer) -> None:
    """RFC 8951 section 3.1 is younger than some servers: they send DER."""
    pem = server.authority.issued(wanted().request)
    server.instead["simpleenroll"] = 200, BAG, server.authority.bag(pem)
    fields = {"Content-Type": "application/csrattrs"}
    server.instead["csrattrs"] = 200, fields, der.sequence(_P256, _SAN, _MAC)
    unpaired(await est(server).request(wanted(), NOW))


async def test_rsa(server: EstServer) -> None:
    """A server that wants RSA refuses RSA."""
    server.attributes = der.sequence(der.oid("1.2.840.113549.1.1.1"))
    key = rsa.generate_private_key(65537, 2048)
    unpaired(await est(server).request(wanted(purpose="sign", key=key), NOW))


def _bag(server: EstServer, *pems: bytes) -> Reply:
    return 200, BAG, base64.encodebytes(server.authority.bag(*pems))


async def test_another_key(server: EstServer) -> None:
    """A certificate nobody has the key of is filed, and mail encrypted to it is lost."""
    server.instead["simpleenroll"] = _bag(
        server, server.authority.issued(wanted(key=OTHER).request)
    )
    with pytest.raises(Refused, match=r"one for 'alice@example\.com', with another key"):
        await est(server).request(wanted(key=KEY), NOW)


async def test_expired(server: EstServer) -> None:
    """A certificate that is over replaces one that is not."""
    with pytest.raises(Refused, match=r"the certificate expired on \d{4}-\d\d-\d\d"):
        await est(server).request(wanted(), NOW + timedelta(days=11))


async def test_somebody_elses(server: EstServer) -> None:
    """Alice signs as Mallory."""
    asked = wanted(mailbox="mallory@example.net")
    server.instead["simpleenroll"] = _bag(server, server.authority.issued(asked.request))
    with pytest.raises(Refused, match=r"is for mallory@example\.net, not for alice"):
        await est(server).request(wanted(), NOW)


async def test_another_purpose(server: EstServer) -> None:
    """A certificate to sign with is filed to be encrypted to."""
    server.instead["simpleenroll"] = _bag(server, server.authority.issued(wanted().request))
    with pytest.raises(Refused, match="is not for encryption: its key usage leaves that out"):
        await est(server).request(wanted(purpose="encrypt"), NOW)


@pytest.mark.parametrize(
    ("operation", "reply", "kind", "told"),
    [
        ("simpleenroll", (403, TEXT, b"not \x1b[2Jyour turn"), Refused, r"\(403\): not \[2Jyour"),
        ("simpleenroll", (400, TEXT, b"x" * 9999), Refused, r"\(400\): x{200}$"),
        ("simpleenroll", (503, TEXT, b""), Unavailable, r"cannot answer now \(503\)$"),
        ("simpleenroll", (429, TEXT, b""), Unavailable, "429"),
        ("simpleenroll", (418, TEXT, b""), Refused, "says 418"),
        ("simpleenroll", (200, TEXT, b"ok"), Unavailable, "sends text/plain instead of"),
        ("simpleenroll", (200, BAG, b"!"), Unavailable, "what should be base64 is not"),
        ("simpleenroll", (200, BAG, b"MAA="), Unavailable, "sends no certificates"),
        ("simpleenroll", (200, BAG, b"M" * 10_000_000), Unavailable, "more than 1048576 octets"),
        ("simpleenroll", (302, {"Location": "https://evil.test/"}, b""), Unavailable, "us else"),
        ("simpleenroll", (302, {}, b""), Unavailable, "sends us elsewhere"),
        ("simpleenroll", (302, {"Location": "simpleenroll"}, b""), Unavailable, "in circles"),
        ("cacerts", (404, TEXT, b""), Unavailable, r"has no EST service here \(404\): see url"),
        ("cacerts", (200, BAG, b"MAA="), Unavailable, "sends no certificates"),
        ("csrattrs", (200, TEXT, b""), Unavailable, "instead of application/csrattrs"),
        ("csrattrs", (200, {"Content-Type": "application/csrattrs"}, b"MA=="), Unavailable, "Csr"),
        ("csrattrs", (401, TEXT, b""), Unavailable, "does not know us"),
    ],
)
async def test_faulty(
    server: EstServer, operation: str, reply: Reply, kind: type[GatepostError], told: str
) -> None:
    """A server at fault takes us down, or nobody learns what it said."""
    server.instead[operation] = reply
    with pytest.raises(kind, match=told) as error:
        await est(server).request(wanted(), NOW)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400


async def test_redirected(server: EstServer) -> None:
    """Section 3.2.1: a redirect within the server is followed, and the request goes along."""
    server.instead["simpleenroll"] = (307, {"Location": "moved/simplereenroll"}, b"")
    unpaired(await est(server).request(wanted(), NOW))
    assert server.heard[-1][1] == "/.well-known/est/moved/simplereenroll"


async def test_wrong_password(server: EstServer) -> None:
    """A wrong password is tried again until the account is locked."""
    source = est(server, password="wrong")
    with pytest.raises(Unavailable, match=r"does not know us \(401\): see user and pass") as error:
        await source.request(wanted(), NOW)
    assert "wrong" not in repr(source) + str(error.value)
    asked = len(server.heard)
    with pytest.raises(Unavailable, match=r"did not know us \(401\) some minutes ago"):
        await source.collect(wanted(), "simpleenroll", NOW + timedelta(minutes=9))
    assert len(server.heard) == asked
    with pytest.raises(Unavailable, match="does not know us"):
        await source.collect(wanted(), "simpleenroll", NOW + timedelta(minutes=11))


async def test_broken_signature(server: EstServer) -> None:
    """The server's word on a request is not passed on."""
    asked = wanted()
    bad = asked.request[:-1] + bytes((asked.request[-1] ^ 1,))
    with pytest.raises(Refused, match="the signature of the request is wrong"):
        await est(server).request(type(asked)(asked.address, asked.purpose, bad), NOW)


async def test_impostor(server: EstServer, tmp_path: Path) -> None:
    """Whoever stands between gives out certificates, and takes the password."""
    with pytest.raises(Unavailable, match="its TLS certificate is not believed"):
        await est(server, anchors=None).request(wanted(), NOW)
    assert not server.heard
    with pytest.raises(Unavailable, match="what TLS needs cannot be read from"):
        await est(server, anchors=tmp_path / "nothing").request(wanted(), NOW)


async def test_anchors_changed(server: EstServer, tmp_path: Path) -> None:
    """A new certificate of the authority counts only after the gateway was restarted."""
    anchors = tmp_path / "anchors.pem"
    shutil.copy(OpensslAuthority.made(tmp_path / "other").root, anchors)
    source = est(server, anchors=anchors)
    for _ in range(2):
        with pytest.raises(Unavailable, match="not believed"):
            await source.authorities(NOW)
    shutil.copy(server.authority.root, anchors)
    os.utime(anchors, ns=(0, 0))
    assert len(await source.authorities(NOW)) == 2


async def test_issuing_authority_as_anchor(server: EstServer) -> None:
    """Who pins the issuing authority alone cannot connect."""
    unpaired(
        await est(server, anchors=server.folder / "issuing.pem").request(wanted(), NOW),
    )


async def test_away(server: EstServer) -> None:
    """A server that is down for an hour fails every request for good."""
    source = Est("peer", Carrier("https://127.0.0.1:1", server.authority.root))
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1: "):
        await source.request(wanted(), NOW)


async def test_dawdling(server: EstServer) -> None:
    """A server that never answers holds a worker for ever."""
    with pytest.raises(Unavailable, match="does not answer"):
        await est(server, patience=0.0).request(wanted(), NOW)
