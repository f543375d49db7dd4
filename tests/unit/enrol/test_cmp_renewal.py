"""Renewals in CMP that their owner signs himself (RFC 9483 section 4.1.3), against OpenSSL's server.

It checks the signature around each message, the path of who made it, and the possession of the
new key.  Before OpenSSL 3.2 it renews that certificate only which it gives out, so the same key.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.peers.authority import OpensslAuthority
from tests.peers.cmp_server import CmpServer
from tests.unit.enrol.asking import KEY, OTHER, PrivateKey, wanted
from tests.unit.route.people import card

from gatepost.certificate import Certificate
from gatepost.cms import der
from gatepost.enrol import cmp_message as wire
from gatepost.enrol.carrier import Carrier
from gatepost.enrol.cmp import Cmp
from gatepost.enrol.cmp_protection import Secret, signing
from gatepost.enrol.source import Issued, Pending, Proof, Purpose, Wanted
from gatepost.errors import Refused, Unsupported
from gatepost.vault.software import SoftwareKey, SoftwareSigner

pytestmark = pytest.mark.peer("openssl")

NOW = datetime.now(UTC)
SECRET = Secret("gateway", "open sesame")
RSA = rsa.generate_private_key(65537, 2048)
STRANGER = ec.generate_private_key(ec.SECP384R1())

Served = Callable[..., CmpServer]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    return OpensslAuthority.made(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The kinds of messages that were sent."""
    kinds: list[int] = []
    write = wire.write

    def noting(kind: int, *others: object, **more: object) -> bytes:
        kinds.append(kind)
        return write(kind, *others, **more)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(wire, "write", noting)
    return kinds


class House:
    """The authority, its CMP server and what it issued to Alice before."""

    def __init__(self, authority: OpensslAuthority, folder: Path) -> None:
        self.authority, self.folder = authority, folder
        self.certificate, self.key = authority.certify("cmp", "/CN=CMP", "server")
        (self.signer, *_) = Certificate.from_pem(self.certificate.read_bytes())
        (self.issuing,) = Certificate.from_pem((authority.folder / "issuing.pem").read_bytes())

    def issued(self, asked: Wanted) -> Certificate:
        return Certificate.from_pem(self.authority.issued(asked.request))[0]

    def renewing(
        self,
        old: PrivateKey = KEY,
        new: PrivateKey = KEY,
        purpose: Purpose = "sign",
        *,
        signer: PrivateKey | None = None,
        prover: PrivateKey | None = None,
    ) -> Wanted:
        """A request with all that the vault lends for it."""
        before = self.issued(wanted(key=old))
        lent = SoftwareSigner(before, (self.issuing,), signer or old)
        proof = Proof(lent, SoftwareKey(prover or new).sign)
        asked = wanted(key=new, purpose=purpose, replacing=before)
        return replace(asked, proof=lambda: proof)

    def server(self, asked: Wanted, *options: str, trusted: Path | None = None) -> CmpServer:
        given = asked.replacing.pem.encode() if asked.replacing else b""
        return CmpServer(
            self.folder,
            given or self.authority.issued(asked.request),
            (self.authority.folder / "issuing.pem").read_bytes(),
            options=options,
            signer=(self.certificate, self.key),
            trusted=trusted or self.authority.root,
        )

    def source(self, server: CmpServer, secret: Secret | None = None) -> Cmp:
        return Cmp("peer", Carrier(server.url), secret, signers=(self.signer,), renews=True)


@pytest.fixture
def house(authority: OpensslAuthority, tmp_path: Path) -> House:
    return House(authority, tmp_path)


@pytest.mark.parametrize("key", [KEY, RSA, STRANGER])
async def test_renewed(house: House, written: list[int], key: PrivateKey) -> None:
    """Whoever has no password with the authority loses his certificate at its end."""
    asked = house.renewing(key, key)
    with house.server(asked) as server:
        found = await house.source(server).request(asked, NOW)
    assert isinstance(found, Issued)
    assert [one.name for one in found.chain] == ["alice@example.com", "Peer Issuing"]
    assert written == [wire.KUR, wire.CERT_CONF]


def test_which() -> None:
    """Another certificate than the one that ends is taken back as renewed."""
    old = Certificate.from_der(card("Old").der)
    asked = wanted()
    body = wire.renewal(asked.request, old, lambda _octets, _scheme: b"signature")
    which = der.sequence(der.explicit(4, old.issuer), der.integer(old.serial))
    assert body.count(which) == 1
    assert der.explicit(5, old.subject) in body


async def test_pending(house: House, written: list[int]) -> None:
    """A renewal that somebody has to approve goes on as somebody else, and is lost."""
    asked = house.renewing()
    with house.server(asked, "-poll_count", "1") as server:
        source = house.source(server)
        first = await source.request(asked, NOW)
        assert isinstance(first, Pending)
        with pytest.raises(Refused, match=r"signed the request to .* counts no more"):
            await source.collect(replace(asked, proof=lambda: None), first.state, NOW)
        assert isinstance(await source.collect(asked, first.state, NOW), Issued)
    assert written == [wire.KUR, wire.POLL_REQ, wire.CERT_CONF]


async def test_for_decryption(house: House, written: list[int]) -> None:
    """A certificate that cannot sign is never renewed without a password."""
    asked = replace(house.renewing(purpose="encrypt"), replacing=None)
    with house.server(asked) as server:
        assert isinstance(await house.source(server).request(asked, NOW), Issued)
    assert written == [wire.P10CR, wire.CERT_CONF]


async def test_forged(house: House) -> None:
    """What is sent proves nothing: neither who asks nor that he has the new key."""
    asked = house.renewing(old=OTHER, prover=STRANGER)
    with (
        house.server(asked) as server,
        pytest.raises(Refused, match=r"refuses the request: .*badPOP"),
    ):
        await house.source(server).request(asked, NOW)
    asked = house.renewing(signer=OTHER)
    with (
        house.server(asked) as server,
        pytest.raises(Refused, match="refuses the request: "),
    ):
        await house.source(server).request(asked, NOW)


async def test_by_password_then(
    house: House, written: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A company that changes its authority gets no certificate of the new one."""
    elsewhere = OpensslAuthority.made(tmp_path_factory.mktemp("elsewhere"))
    asked = house.renewing()
    with house.server(asked, trusted=elsewhere.root) as server:
        with pytest.raises(Refused, match="refuses the request"):
            await house.source(server).request(asked, NOW)
        assert isinstance(await house.source(server, SECRET).request(asked, NOW), Issued)
    assert written == [wire.KUR, wire.KUR, wire.P10CR, wire.CERT_CONF]


async def test_nothing_to_renew(house: House, written: list[int]) -> None:
    """Somebody without any certificate is waited for without end."""
    asked = wanted()
    with house.server(asked) as server:
        with pytest.raises(Refused, match=r"asked for renewals only.* set reference"):
            await house.source(server).request(asked, NOW)
        quiet = replace(house.source(server, SECRET), renews=False)
        assert isinstance(await quiet.request(house.renewing(new=KEY), NOW), Issued)
    assert written == [wire.P10CR, wire.CERT_CONF]  # where it is not switched on
    state = '{"transaction": "00", "nonce": "00", "number": 0, "signer": ""}'
    with pytest.raises(Refused, match="a password that is set no more"):
        await house.source(server).collect(asked, state, NOW + timedelta(hours=1))


def test_no_empty_password(house: House) -> None:
    """Where there is no password, whoever guesses that is believed to be the authority."""
    thread = wire.Thread(b"t" * 16, b"n" * 16)
    forged = wire.write(
        wire.PKI_CONF, b"\x05\x00", thread, Secret("a", ""), b"\x30\x00", entropy=bytes, now=NOW
    )
    assert wire.read(forged).is_from(Secret("a", ""))
    assert not wire.read(forged).is_from(None, (house.signer,))


def test_keys_that_cannot() -> None:
    """A key of another type ends in a sentence nobody understands."""
    with pytest.raises(Unsupported, match="no message of CMP is signed with a key of this type"):
        signing(object())
