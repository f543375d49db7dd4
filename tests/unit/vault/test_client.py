"""Keys that are in another process do what keys in this one do, or are away for a while."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed25519,
    mldsa,
    mlkem,
    padding,
    rsa,
    x25519,
)
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from tests.patience import until
from tests.pki_builder import company, private_key
from tests.unit.vault.door import KEK, SAFE, Door, desk, door, process

from gatepost.cms.capability import KeyTransport, SignatureScheme
from gatepost.enrol.acme_account import Accounts
from gatepost.enrol.announcer import Announcer
from gatepost.enrol.local import LocalAuthority
from gatepost.enrol.status import Responder
from gatepost.errors import (
    ConfigError,
    DecryptionFailed,
    KeyUnavailable,
    LimitExceeded,
    Unsupported,
)
from gatepost.mail.address import Mailbox
from gatepost.store.directory import Directory
from gatepost.vault import client as client_module
from gatepost.vault.client import Client, Remote
from gatepost.vault.frame import LARGEST, Frame, Word
from gatepost.vault.held import Held, HeldEc, HeldRsa, HeldSigner
from gatepost.vault.keys import Vault
from gatepost.vault.seal import SealBroken, Sealer
from gatepost.vault.subkey import draw

ALICE = Mailbox.parse("alice@example.com")


@pytest.fixture
def keys() -> Iterator[tuple[Door, Client]]:
    with process() as made:
        yield made


@pytest.fixture
def remote(keys: tuple[Door, Client]) -> Remote:
    return Remote(keys[1])


def held(remote: Remote, key: PrivateKeyTypes) -> Held:
    return remote.open(*SAFE.seal(key))


def test_signatures(remote: Remote) -> None:
    """Nobody could verify what is signed through the key process."""
    one = private_key("rsa2048", "remote")
    assert isinstance(one, rsa.RSAPrivateKey)
    holder, public = held(remote, one).holder, one.public_key()
    scheme = SignatureScheme("rsa-pkcs1", "sha384")
    public.verify(holder.sign(b"data", scheme), b"data", padding.PKCS1v15(), hashes.SHA384())
    for salt in (None, 20):
        signed = holder.sign(b"data", SignatureScheme("rsa-pss", "sha256", salt))
        form = padding.PSS(padding.MGF1(hashes.SHA256()), 32 if salt is None else salt)
        public.verify(signed, b"data", form, hashes.SHA256())
    curve = ec.generate_private_key(ec.SECP256R1())
    signed = held(remote, curve).holder.sign(b"data" * 50_000, SignatureScheme("ecdsa"))
    curve.public_key().verify(signed, b"data" * 50_000, ec.ECDSA(hashes.SHA256()))
    edwards = ed25519.Ed25519PrivateKey.generate()
    signed = held(remote, edwards).holder.sign(b"data", SignatureScheme("ed25519", "sha512"))
    edwards.public_key().verify(signed, b"data")
    lattice = mldsa.MLDSA44PrivateKey.generate()
    signed = held(remote, lattice).holder.sign(b"data", SignatureScheme("ml-dsa-44", "sha512"))
    lattice.public_key().verify(signed, b"data")


def test_decryption(remote: Remote) -> None:
    """Mail to people whose keys are in the key process could not be opened."""
    one = private_key("rsa2048", "remote")
    assert isinstance(one, rsa.RSAPrivateKey)
    holder = held(remote, one).holder
    for scheme, form in (
        (KeyTransport("rsa-pkcs1"), padding.PKCS1v15()),
        (
            KeyTransport("rsa-oaep", "sha512", "sha1", b"tag"),
            padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA512(), b"tag"),
        ),
    ):
        assert holder.unwrap(one.public_key().encrypt(b"k" * 32, form), scheme) == b"k" * 32
    curve, peer = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    point = peer.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = peer.exchange(ec.ECDH(), curve.public_key())
    assert held(remote, curve).holder.agree(point) == shared
    mont, other = x25519.X25519PrivateKey.generate(), x25519.X25519PrivateKey.generate()
    octets = other.public_key().public_bytes_raw()
    assert held(remote, mont).holder.agree(octets) == other.exchange(mont.public_key())
    lattice = mlkem.MLKEM768PrivateKey.generate()
    secret, ciphertext = lattice.public_key().encapsulate()
    assert held(remote, lattice).holder.decapsulate(ciphertext) == secret


def test_failures_are_the_same_here_and_there(keys: tuple[Door, Client], remote: Remote) -> None:
    """An attacker could tell one broken mail from another by the key process's answer."""
    one = private_key("rsa2048", "remote")
    assert isinstance(one, rsa.RSAPrivateKey)
    there = held(remote, one)
    altered = bytes((1,)) * 256
    oaep, v15 = KeyTransport("rsa-oaep"), KeyTransport("rsa-pkcs1")
    garbage = there.holder.unwrap(altered, v15)  # implicit rejection: no failure at all
    assert garbage == there.holder.unwrap(altered, v15)
    for wrong, scheme in ((altered, oaep), (b"", v15)):
        with pytest.raises(DecryptionFailed):
            there.holder.unwrap(wrong, scheme)
    with pytest.raises(DecryptionFailed):
        there.holder.agree(b"\4")
    with pytest.raises(DecryptionFailed):
        there.holder.decapsulate(b"")
    name = there.holder.name  # type: ignore[attr-defined]
    fields = (name, b"rsa-oaep", b"sha256", b"sha256", b"")
    said = [desk_answer(there, Frame(Word.UNWRAP, (*fields, one))) for one in (altered, b"")]
    assert said == [Frame(Word.FAILED), Frame(Word.FAILED)]
    with pytest.raises(Unsupported, match="cannot sign ecdsa"):
        there.holder.sign(b"x", SignatureScheme("ecdsa"))
    with pytest.raises(SealBroken):
        remote.open(there.key_id, there.box[:-1] + bytes((there.box[-1] ^ 1,)))
    with pytest.raises(KeyUnavailable, match="sealed under key-encryption key"):
        remote.open(there.key_id, there.box[:1] + b"abcd" + there.box[5:])
    with pytest.raises(ConfigError, match="cannot be read"):
        keys[1].ask(Word.SEAL, b"no key")
    with pytest.raises(ConfigError, match="without a passphrase"):
        keys[1].ask(Word.UNLOCK, b"guess")
    with pytest.raises(LimitExceeded):
        there.holder.sign(bytes(LARGEST), SignatureScheme("rsa-pkcs1"))


def desk_answer(there: Held, asked: Frame) -> Frame:
    answer = desk()
    answer(Frame(Word.OPEN, (there.key_id.encode(), there.box)))
    return answer(asked)


def test_new_keys(remote: Remote) -> None:
    """A key made for a person's first mail would be in the worker after all, or lost."""
    for algorithm, kind in (("rsa2048", HeldRsa), ("p256", HeldEc)):
        made = remote.make(algorithm, "people", "alice")  # type: ignore[arg-type]
        assert isinstance(made, kind)
        key_id, box = remote.seal(made)
        here = SAFE.open(key_id, box)
        assert not isinstance(here, Held)
        assert here.public_key() == made.public_key()
        with pytest.raises(ConfigError, match="never leaves"):
            made.private_bytes(None, None, None)  # type: ignore[arg-type]
    outside = ec.generate_private_key(ec.SECP256R1())
    opened = SAFE.open(*remote.seal(outside))
    assert opened.public_key() == outside.public_key()  # type: ignore[union-attr]


def test_sub_keys_by_name_only(keys: tuple[Door, Client]) -> None:
    """A worker could have the sub-key that opens every private key."""
    _, client = keys
    assert client.subkey("queue") == draw(KEK, "queue")
    with pytest.raises(KeyUnavailable):
        client.subkey("private keys")
    assert client.subkey("queue").key == draw(KEK, "queue").key  # and is served on


def test_vault(tmp_path: Path, remote: Remote, now: datetime) -> None:
    """Each place that lends keys would need to know where they are."""
    with Directory(tmp_path / "directory.sqlite") as directory:
        vault = Vault(directory, remote)
        one = company().user(str(ALICE), kind="p256")
        vault.add(one.key, one.certificate, addresses=[ALICE], now=now)
        signer = vault.signer_for(ALICE, now)
        assert signer is not None
        signed = signer.sign(b"x", SignatureScheme("ecdsa"))
        public = one.certificate.public_key
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(signed, b"x", ec.ECDSA(hashes.SHA256()))
        assert len(vault.decryptors_for(ALICE)) == 1


def test_a_new_process_knows_nothing_and_is_told(keys: tuple[Door, Client]) -> None:
    """After a crash of the key process every worker would need a restart too."""
    there, client = keys
    one = held(Remote(client), ec.generate_private_key(ec.SECP256R1()))
    assert one.holder.sign(b"x", SignatureScheme("ecdsa"))
    there.close()
    for line in client._kept:  # which would end with the process
        line._socket.shutdown(socket.SHUT_RDWR)
    with pytest.raises(KeyUnavailable, match="away"):
        one.holder.sign(b"x", SignatureScheme("ecdsa"))
    there.open(desk())
    assert one.holder.sign(b"x", SignatureScheme("ecdsa"))


def test_silence_is_not_waited_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key process that hangs would stop each worker for as long, mail by mail."""
    now = [0.0]
    monkeypatch.setattr(client_module, "PATIENCE", 0.05)
    silent, asked = threading.Event(), []

    def answer(frame: Frame) -> Frame:
        asked.append(frame)
        silent.wait(30)
        return Frame(Word.DONE, (b"late",))

    with door() as made:
        made.open(answer)
        client = Client(made.connect, lambda: now[0])
        with pytest.raises(KeyUnavailable, match="did not answer in 0 s"):
            client.ask(Word.AGREE, b"", b"", patience=0.05)
        with pytest.raises(KeyUnavailable, match="does not answer"):
            client.ask(Word.AGREE, b"", b"", patience=0.05)
        until(lambda: len(asked) == 1)
        now[0] += client_module.PAUSE
        silent.set()
        assert client.ask(Word.AGREE, b"", b"") == (b"late",)
        client.close()


def test_many_threads(remote: Remote) -> None:
    """Answers would reach whoever did not ask."""
    curve = ec.generate_private_key(ec.SECP256R1())
    holder = held(remote, curve).holder

    def sign(number: int) -> None:
        data = b"%d" % number
        signed = holder.sign(data, SignatureScheme("ecdsa"))
        curve.public_key().verify(signed, data, ec.ECDSA(hashes.SHA256()))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(sign, range(400)))


def test_sealer_of_a_worker(keys: tuple[Door, Client]) -> None:
    """What one process queued, another could not deliver."""
    _, client = keys
    there = Sealer(lambda: client.subkey("queue"), "queue")
    assert Sealer(KEK, "queue").unseal(there.seal(b"mail", b"to bob"), b"to bob") == b"mail"


def test_an_authority_without_keys(
    tmp_path: Path, remote: Remote, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that issues, announces and answers OCSP makes keys in its own memory after all."""
    real, seen = Remote.seal, []

    def seal(there: Remote, key: PrivateKeyTypes) -> tuple[str, bytes]:
        seen.append(type(key))
        return real(there, key)

    monkeypatch.setattr(Remote, "seal", seal)
    with Directory(tmp_path / "directory.sqlite") as directory:
        vault = Vault(directory, remote)
        authority = LocalAuthority.create(directory, vault, "Us", ["example.com"], now=now)
        identity = authority.ensure(ALICE, now)
        assert isinstance(identity.signer, HeldSigner)
        announcer = Announcer(authority, directory.register, for_domains=False)
        assert announcer.document("example.com", now)
        account = Accounts(directory, vault).of("outside", "https://ca.test/", now)
        assert isinstance(account.key, HeldEc)
        question = (
            ocsp.OCSPRequestBuilder()
            .add_certificate(identity.encryption.x509, authority.issuing.x509, hashes.SHA256())
            .build()
        )
        responder = Responder(
            directory.ledger, lambda: vault.make("p256", "passing", "OCSP responder")
        )
        der = responder.answer(
            question.public_bytes(Encoding.DER), [authority.issuing], authority.lend, now
        )
        answer = ocsp.load_der_ocsp_response(der)
        assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD
        assert isinstance(vault.make("p256", "passing", "x"), HeldEc)
    assert len(seen) == 6  # root, issuing, Alice's two, federation, account
    assert set(seen) <= {HeldRsa, HeldEc}
