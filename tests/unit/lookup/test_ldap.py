"""Directories asked by LDAP: a real slapd, and servers that lie, flood, or say nothing."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from tests.peers.slapd import ADMIN, BASE, SECRET, Slapd, group, person
from tests.pki_builder import company, user

from gatepost.cms import signed
from gatepost.cms.der import integer, octet_string, sequence, tlv
from gatepost.config.ldap import Ldap
from gatepost.errors import ConfigError, GatepostError, LimitExceeded, Malformed, Unavailable
from gatepost.lookup.ldap import MAXIMUM_VALUE, LdapDirectory
from gatepost.lookup.ldap_group import MAXIMUM_DEPTH
from gatepost.lookup.offer import Offer
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
PATIENCE = timedelta(seconds=float(os.environ.get("GATEPOST_PATIENCE", "30")))
BOB, EVE = Mailbox.parse("Bob@partner.example"), Mailbox.parse("eve@partner.example")
CERTIFICATE = user("bob@partner.example", "p256").certificate
OTHER = user("carol@partner.example", "p256").certificate
BAG = pkcs7.serialize_certificates([OTHER.x509, company().certificate.x509], Encoding.DER)


ERIK = user("erik@partner.example", "rsa2048")
WORD = join(signed.sign(Octets(b""), [ERIK.signer], None, detached=True, when=NOW))
BROKEN = WORD[:-1] + bytes([WORD[-1] ^ 1])
SAID = [WORD, BROKEN]


def settings(port: int, **more: Any) -> Ldap:
    known: dict[str, Any] = {
        "url": f"ldap://127.0.0.1:{port}",
        "base": BASE,
        "starttls": False,
        "timeout": PATIENCE,
        **more,
    }
    return Ldap(**known)


# A real server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """A slapd with a few people and groups."""
    names = {
        one: f"cn={one},{BASE}" for one in ("bob", "carol", "dora", "inner", "outer", "circle")
    }
    entries = [
        person("bob", mail=["bob@partner.example"], userCertificate_binary=[CERTIFICATE.der]),
        person("carol", mail=["carol@partner.example"], userSMIMECertificate=[BAG]),
        person("dora", mail=["dora@partner.example"]),
        person("erik", mail=["erik@partner.example"], userSMIMECertificate=SAID),
        person("idn", mail=["x@xn--bcher-kva.example"], userCertificate_binary=[OTHER.der]),
        person("nobody", mail=["not an address"]),
        *(person(f"many{n}", mail=["many@partner.example"]) for n in range(60)),
        group("inner", names["dora"], names["circle"], names["bob"]),
        group("outer", names["bob"], names["inner"], f"cn=gone,{BASE}", kind="groupOfUniqueNames"),
        group("circle", names["outer"]),
        group("deep0", names["bob"]),
        *(group(f"deep{n}", f"cn=deep{n - 1},{BASE}") for n in range(1, MAXIMUM_DEPTH + 2)),
    ]
    with Slapd(tmp_path_factory.mktemp("ldap") / "slapd", entries) as made:
        yield made


@pytest.mark.peer("slapd")
async def test_certificates_of_a_mailbox(server: Slapd) -> None:
    """Both attributes are read, whatever the case of the address; nobody else's is."""
    directory = LdapDirectory(settings(server.port))
    assert await directory.certificates(BOB) == Offer((CERTIFICATE,))
    carol = Mailbox.parse("carol@partner.example")
    assert await directory.certificates(carol) == Offer((OTHER,), (company().certificate,))
    assert await directory.certificates(Mailbox.parse("dora@partner.example")) == Offer()
    assert (await directory.certificates(Mailbox("x", "Bücher.example"))).certificates == (OTHER,)
    assert await directory.certificates(Mailbox("björn", "bücher.example")) == Offer()
    many = settings(server.port, entries=5, attributes=("cn",))
    offer = await LdapDirectory(many).certificates(Mailbox.parse("many@partner.example"))
    assert offer.certificates == ()
    assert len(offer.remarks) == 1  # a name is no certificate


@pytest.mark.peer("slapd")
async def test_what_a_program_can_do(server: Slapd) -> None:
    """RFC 2798 section 2.8: it stands beside the certificates, and is believed if it is signed."""
    offer = await LdapDirectory(settings(server.port)).certificates(
        Mailbox.parse("erik@partner.example")
    )
    assert offer.certificates == (ERIK.certificate,)
    assert offer.issuers == (company().certificate,)
    assert offer.remarks == ()
    (word,) = offer.words
    assert (word.signer, word.signed_at) == (ERIK.certificate, NOW)
    assert {"aes256-gcm", "rsa-oaep"} <= word.announced


@pytest.mark.peer("slapd", "openssl")
@pytest.mark.parametrize(("digest", "believed"), [("sha256", True), ("sha1", False)])
def test_what_openssl_announces(tmp_path: Path, digest: str, *, believed: bool) -> None:
    """A value that we did not write; and one under a signature that can be forged."""
    certificate, key = ERIK.write(tmp_path)
    words = ("-signer", certificate, "-inkey", key, "-md", digest, "-binary", "-outform", "DER")
    made = subprocess.run(
        ("openssl", "cms", "-sign", *words), input=b"", capture_output=True, check=True
    ).stdout
    erik = person("erik", mail=["erik@partner.example"], userSMIMECertificate=[made])
    with Slapd(tmp_path / "slapd", [erik]) as server:
        asked = LdapDirectory(settings(server.port)).certificates(
            Mailbox.parse("erik@partner.example")
        )
        offer = asyncio.run(asked)
    assert offer.certificates == (ERIK.certificate,)
    assert ["aes256-cbc" in one.announced for one in offer.words] == ([True] if believed else [])


@pytest.mark.peer("slapd")
@pytest.mark.parametrize(
    "local", ['"*)(uid=*"', '"*"', "*", '"b\\\\2ab"', '"bob@partner.example)(cn=*"', '"(|(mail=*"']
)
async def test_an_address_is_a_value(server: Slapd, local: str) -> None:
    """Whoever chooses a recipient could ask the directory anything, or be sent another's key."""
    for form in ("(mail=%s)", "(&(objectClass=*)(|(mail=%s)(mail=smtp:%s)))", "(mail=b%s*)"):
        directory = LdapDirectory(settings(server.port, filter=form))
        assert await directory.certificates(Mailbox(local, "partner.example")) == Offer()


@pytest.mark.peer("slapd")
async def test_groups(server: Slapd) -> None:
    """Groups in groups and circles end; who is gone, or has no address, is left out."""
    directory = LdapDirectory(settings(server.port))
    found = await directory.members(f"cn=outer,{BASE}")
    assert sorted(map(str, found)) == ["bob@partner.example", "dora@partner.example"]
    with pytest.raises(ConfigError, match="no group"):
        await directory.members(f"cn=nowhere,{BASE}")
    with pytest.raises(LimitExceeded, match="nested"):
        await directory.members(f"cn=deep{MAXIMUM_DEPTH + 1},{BASE}")
    assert len(await directory.members(f"cn=deep{MAXIMUM_DEPTH - 1},{BASE}")) == 1


@pytest.mark.peer("slapd")
async def test_password_under_tls(tmp_path: Path) -> None:
    """The password would be read on the way, or given to whoever answers in the server's name."""
    bob = person("bob", mail=["bob@partner.example"], userCertificate_binary=[CERTIFICATE.der])
    with Slapd(tmp_path / "slapd", [bob], closed=True, secured=True) as made:
        url = f"ldap://localhost:{made.port}"
        known: dict[str, Any] = {
            "starttls": True,
            "anchors": made.anchors,
            "user": ADMIN,
            "password_environment": "X",
        }
        right = LdapDirectory(settings(389, url=url, **known), SECRET)
        assert await right.certificates(BOB) == Offer((CERTIFICATE,))
        with pytest.raises(Unavailable, match="does not accept the password"):
            await LdapDirectory(settings(389, url=url, **known), "guess").certificates(BOB)
        with pytest.raises(Unavailable, match="TLS certificate does not hold"):
            await LdapDirectory(settings(made.port, **known), SECRET).certificates(BOB)
        wrong = settings(389, url=url, **{**known, "anchors": None})
        with pytest.raises(Unavailable, match="TLS certificate does not hold"):
            await LdapDirectory(wrong, SECRET).certificates(BOB)
        with pytest.raises(Unavailable, match=r"TLS confidentiality required"):
            await LdapDirectory(settings(made.port)).certificates(BOB)


@pytest.mark.peer("slapd")
def test_on_the_loop_that_serves(server: Slapd) -> None:
    """Uvloop differs from asyncio in what its transports are and what its loop accepts."""
    uvloop = pytest.importorskip("uvloop")
    secured = settings(389, url=f"ldap://localhost:{server.port}", starttls=True)
    for where in (settings(server.port), replace(secured, anchors=server.anchors)):
        assert uvloop.run(LdapDirectory(where).certificates(BOB)) == Offer((CERTIFICATE,))
    with pytest.raises(Unavailable, match="TLS certificate does not hold"):
        uvloop.run(LdapDirectory(secured).certificates(BOB))


@pytest.mark.peer("slapd")
async def test_a_wrong_base_is_told(server: Slapd) -> None:
    """Nobody would ever be found, and no one would know why."""
    with pytest.raises(Unavailable, match="nothing under"):
        await LdapDirectory(settings(server.port, base="dc=wrong")).certificates(BOB)


# Servers that mean harm

Answer = Callable[[int], bytes]
OK = (tlv(0x0A, b"\0"), octet_string(b""), octet_string(b""))


def entry(number: int, *values: bytes) -> bytes:
    """An entry with these certificates."""
    attribute = sequence(
        octet_string(b"userCertificate;binary"), tlv(0x31, *map(octet_string, values))
    )
    return sequence(integer(number), tlv(0x64, octet_string(b"cn=x"), sequence(attribute)))


def done(number: int, tag: int = 0x65, code: int = 0) -> bytes:
    """The end of something."""
    return sequence(integer(number), tlv(tag, tlv(0x0A, bytes((code,))), *OK[1:]))


@asynccontextmanager
async def lying(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """A server that answers every connection's first question so; gives its port."""
    tasks: set[asyncio.Task[Any] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await reader.read(1)
            await answer(writer)
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield made.sockets[0].getsockname()[1]
    finally:
        made.close()
        for one in tasks:
            if one is not None:
                one.cancel()
        await asyncio.gather(*(one for one in tasks if one is not None), return_exceptions=True)


def saying(*octets: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def say(writer: asyncio.StreamWriter) -> None:
        for one in octets:
            writer.write(one)
            await writer.drain()

    return say


async def offered(port: int, **more: Any) -> Offer:
    return await LdapDirectory(settings(port, **more)).certificates(BOB)


async def test_what_is_no_certificate_is_told() -> None:
    """Garbage would be taken for silence, or hide the good value beside it."""
    huge = b"x" * (MAXIMUM_VALUE + 1)
    said = entry(1, b"garbage", huge, b"", CERTIFICATE.der, b"\x30\x80\x02")
    async with lying(saying(said + done(1))) as port:
        offer = await offered(port)
    assert offer.certificates == (CERTIFICATE,)
    assert len(offer.remarks) >= 2
    assert any(f"{len(huge)} octets" in one for one in offer.remarks)


async def test_ten_thousand_entries() -> None:
    """A directory that ignores our limit would fill the memory."""
    said = entry(1, CERTIFICATE.der) * 10_000
    async with lying(saying(said + done(1))) as port:
        assert await offered(port, entries=20, size=64 << 10) == Offer((CERTIFICATE,))
        with pytest.raises(LimitExceeded, match="more than 65536 octets"):
            await offered(port, entries=1000, size=64 << 10)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (sequence(integer(1), tlv(0x64, octet_string(b"x" * (10 << 20)))), LimitExceeded),
        (b"\x30\x84\xff\xff\xff\xff", LimitExceeded),
        (b"\x30\x88" + b"\xff" * 8, Malformed),
        (b"\x30\x80", Malformed),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Malformed),
        (sequence(integer(1)), Malformed),
        (sequence(integer(1), tlv(0x64, octet_string(b""))), Malformed),
        (
            sequence(integer(1), tlv(0x65, integer(0), octet_string(b""), octet_string(b""))),
            Malformed,
        ),
        (b"\x30\x03\x30\x03\x30", Malformed),
        (done(0, 0x78, 52), Unavailable),
        (done(7), Unavailable),
        (done(1, code=51), Unavailable),
    ],
)
async def test_answers_that_are_none(said: bytes, error: type[GatepostError]) -> None:
    """A broken or hostile directory would be an error of ours, with a traceback for a reply."""
    async with lying(saying(said)) as port:
        with pytest.raises(error):
            await offered(port)


async def test_who_is_silent_or_slow_is_left() -> None:
    """Mail would wait for a directory that hangs, or that drips an octet now and then."""

    async def drip(writer: asyncio.StreamWriter) -> None:
        for one in entry(1, CERTIFICATE.der):
            writer.write(bytes((one,)))
            await asyncio.sleep(0.02)

    short = timedelta(seconds=0.2)
    for answer in (saying(), drip):
        async with lying(answer) as port:
            with pytest.raises(Unavailable, match=r"no answer in 0\.2 s"):
                await offered(port, timeout=short)
            with pytest.raises(Unavailable, match=r"no answer in 0\.2 s"):
                await offered(port, timeout=short, starttls=True)
            with pytest.raises(Unavailable):  # what is dripped is no TLS
                await offered(port, timeout=short, url=f"ldaps://127.0.0.1:{port}")


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
async def test_an_address_that_swallows_packets(scheme: str) -> None:
    """A firewall in between would stop more than the question: the whole process."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # nobody accepts: the kernel answers no more connections
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(full.getsockname())
        url = f"{scheme}://127.0.0.1:{full.getsockname()[1]}"
        with pytest.raises(Unavailable, match=r"no answer in 0\.2 s"):
            await offered(389, url=url, timeout=timedelta(seconds=0.2))


async def test_nobody_there() -> None:
    """The reason would be a traceback."""
    made = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = made.sockets[0].getsockname()[1]
    made.close()
    await made.wait_closed()
    with pytest.raises(Unavailable, match="refused"):
        await offered(port)


async def test_a_hasty_server_cuts_off() -> None:
    """A connection that ends in the middle would be waited for."""

    async def cut(writer: asyncio.StreamWriter) -> None:
        writer.write(entry(1, CERTIFICATE.der)[:40])
        writer.close()

    async with lying(cut) as port:
        with pytest.raises(Unavailable, match="closed"):
            await offered(port)


async def test_clear_text_behind_starttls() -> None:
    """Whoever is on the way could put an answer there, which would count as given under TLS."""
    injected = done(1, 0x78) + entry(2, OTHER.der) + done(2)
    async with lying(saying(injected)) as port:
        with pytest.raises(Malformed, match="in clear behind"):
            await offered(port, starttls=True)
    async with lying(saying(done(1, 0x78, 2))) as port:
        with pytest.raises(Unavailable, match="offers no StartTLS"):
            await offered(port, starttls=True)


async def test_referrals_are_not_followed() -> None:
    """A directory could send us anywhere, our own networks among it."""
    reference = sequence(integer(1), tlv(0x73, octet_string(b"ldap://127.0.0.1:1/")))
    referral = sequence(integer(1), tlv(0x65, tlv(0x0A, b"\x0a"), *OK[1:], tlv(0xA3)))
    async with lying(saying(reference + entry(1, CERTIFICATE.der) + referral)) as port:
        assert await offered(port) == Offer((CERTIFICATE,))


def thing(number: int, name: str, **values: bytes) -> bytes:
    """An entry with one value of each attribute; `__` in a name stands for a semicolon."""
    attributes = (
        sequence(
            octet_string(kind.replace("__", ";").replace("_", "=").encode()),
            tlv(0x31, octet_string(one)),
        )
        for kind, one in values.items()
    )
    head = octet_string(name.encode())
    return sequence(integer(number), tlv(0x64, head, sequence(*attributes)))


async def test_lists_that_come_in_parts() -> None:
    """Active Directory gives 1500 members at a time; whoever comes after would be nobody."""
    first = {"objectClass": b"group", "member__range_0-0": b"cn=y"}
    said = (
        thing(1, "cn=g", **first) + done(1),
        done(2),  # nobody says himself that he is in it
        thing(3, "cn=y", mail=b"y@partner.example") + done(3),
        thing(4, "cn=g", **{"member__range_1-*": b"cn=z"}) + done(4),
        thing(5, "cn=z", mail=b"z@partner.example") + done(5),
    )
    async with lying(saying(*said)) as port:
        found = await LdapDirectory(settings(port)).members("cn=g")
    assert list(map(str, found)) == ["y@partner.example", "z@partner.example"]
    again = thing(4, "cn=g", **{"member__range_0-0": b"cn=y"}) + done(4)
    async with lying(saying(*said[:3], again)) as port:
        with pytest.raises(Malformed, match="the same part"):
            await LdapDirectory(settings(port)).members("cn=g")


async def test_pages() -> None:
    """A group of two thousand would have as many members as a page."""
    cookie = sequence(integer(0), octet_string(b"more"))
    control = sequence(octet_string(b"1.2.840.113556.1.4.319"), octet_string(cookie))
    end = sequence(integer(2), tlv(0x65, *OK), tlv(0xA0, control))
    said = (
        thing(1, "cn=g", objectClass=b"group") + done(1),
        thing(2, "cn=y", mail=b"y@partner.example") + end,
        thing(3, "cn=z", mail=b"z@partner.example") + done(3),
    )
    async with lying(saying(*said)) as port:
        found = await LdapDirectory(settings(port)).members("cn=g")
    assert list(map(str, found)) == ["y@partner.example", "z@partner.example"]
    cut = thing(2, "cn=y", mail=b"y@partner.example") + done(2, code=4)
    async with lying(saying(said[0], cut)) as port:
        with pytest.raises(Unavailable, match="does not search"):
            await LdapDirectory(settings(port)).members("cn=g")


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"url": "http://x"}, "expected an address"),
        ({"url": "ldap://x:70000"}, "expected an address"),
        ({"url": "ldap://user@x"}, "expected an address"),
        ({"url": "ldap:///"}, "expected an address"),
        ({"filter": "(mail=*)"}, "%s"),
        ({"user": "cn=x"}, "user needs one of"),
        ({"password_environment": "X"}, "a password needs a user"),
        (
            {"url": "ldap://x", "user": "cn=x", "password_environment": "X"},
            "a password is not sent in clear",
        ),
    ],
)
def test_settings(table: dict[str, Any], why: str) -> None:
    """A mistake would be found by the first mail."""
    with pytest.raises(ValueError, match=why):
        settings(389, **table)


def test_ports() -> None:
    """The usual port is what nobody writes."""
    assert [settings(389, url=f"{one}://x").port for one in ("ldap", "ldaps")] == [389, 636]
    assert settings(389, url="ldaps://x").tls == "implicit"
    with pytest.raises(ConfigError, match="filter"):
        LdapDirectory(settings(389, filter="(mail=%s"))
