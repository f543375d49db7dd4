"""Private keys: taken in, sealed, lent."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from tests.pki_builder import company, private_key, user

from gatepost.cms.capability import Decryptor, KeyTransport, SignatureScheme, Signer
from gatepost.errors import (
    ConfigError,
    DecryptionFailed,
    KeyUnavailable,
    Unsupported,
)
from gatepost.mail.address import Mailbox
from gatepost.store.directory import Directory
from gatepost.vault import keys
from gatepost.vault.kek import Kek
from gatepost.vault.keys import Vault
from gatepost.vault.seal import SealBroken, Sealer

ALICE = Mailbox.parse("alice@example.com")
KEK = Kek(bytes(range(32)))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with Directory(tmp_path / "directory.sqlite") as opened:
        yield opened


@pytest.fixture
def vault(directory: Directory) -> Vault:
    return Vault(directory, Sealer(KEK, "private keys"))


def lend(vault: Vault, kind: str, now: datetime) -> tuple[Signer, Decryptor]:
    one = company().user("alice@example.com", kind=kind)  # type: ignore[arg-type]
    vault.add(one.key, one.certificate, addresses=[ALICE], now=now)
    opens = next(
        each for each in vault.decryptors_for(ALICE) if each.certificate == one.certificate
    )
    return vault.signer_of(one.certificate), opens


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_rsa_signs_in_both_ways(vault: Vault, now: datetime, digest: str) -> None:
    """Nobody could verify our signatures."""
    signer, _ = lend(vault, "rsa2048", now)
    public = signer.certificate.public_key
    assert isinstance(public, rsa.RSAPublicKey)
    made = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}[digest]
    signature = signer.sign(b"data", SignatureScheme("rsa-pkcs1", digest))  # type: ignore[arg-type]
    public.verify(signature, b"data", padding.PKCS1v15(), made)
    for salt in (None, 20):
        signature = signer.sign(b"data", SignatureScheme("rsa-pss", digest, salt))  # type: ignore[arg-type]
        length = made.digest_size if salt is None else salt
        public.verify(signature, b"data", padding.PSS(padding.MGF1(made), length), made)


def test_curves_and_edwards(vault: Vault, now: datetime) -> None:
    """Nobody could verify our signatures."""
    signer, _ = lend(vault, "p384", now)
    public = signer.certificate.public_key
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(
        signer.sign(b"x", SignatureScheme("ecdsa", "sha384")), b"x", ec.ECDSA(hashes.SHA384())
    )
    edwards, _ = lend(vault, "ed25519", now)
    key = edwards.certificate.public_key
    assert isinstance(key, ed25519.Ed25519PublicKey)
    key.verify(edwards.sign(b"x", SignatureScheme("ed25519")), b"x")
    for scheme in (SignatureScheme("rsa-pkcs1"), SignatureScheme("ed25519")):
        with pytest.raises(Unsupported, match="cannot sign"):
            signer.sign(b"x", scheme)
    with pytest.raises(Unsupported, match="SHA1"):
        signer.sign(b"x", SignatureScheme("ecdsa", "sha1"))


@pytest.mark.parametrize(
    ("scheme", "digest", "mask"),
    [
        (KeyTransport("rsa-oaep"), hashes.SHA256(), hashes.SHA256()),
        (KeyTransport("rsa-oaep", "sha1", "sha1"), hashes.SHA1(), hashes.SHA1()),
        (KeyTransport("rsa-oaep", "sha512", "sha1"), hashes.SHA512(), hashes.SHA1()),
        (KeyTransport("rsa-oaep", label=b"tag"), hashes.SHA256(), hashes.SHA256()),
    ],
)
def test_oaep(
    vault: Vault,
    now: datetime,
    scheme: KeyTransport,
    digest: hashes.HashAlgorithm,
    mask: hashes.HashAlgorithm,
) -> None:
    """Mail from senders with other digests could not be opened."""
    _, opener = lend(vault, "rsa2048", now)
    public = opener.certificate.public_key
    assert isinstance(public, rsa.RSAPublicKey)
    form = padding.OAEP(padding.MGF1(mask), digest, scheme.label or None)
    wrapped = public.encrypt(b"k" * 32, form)
    assert opener.unwrap(wrapped, scheme) == b"k" * 32
    with pytest.raises(DecryptionFailed):
        opener.unwrap(wrapped[:-1] + bytes((wrapped[-1] ^ 1,)), scheme)


def test_rsa_v15_garbage_opens_to_something_unpredictable(vault: Vault, now: datetime) -> None:
    """An attacker could open any mail by watching which garbage is refused (Bleichenbacher)."""
    _, opener = lend(vault, "rsa2048", now)
    public = opener.certificate.public_key
    assert isinstance(public, rsa.RSAPublicKey)
    scheme = KeyTransport("rsa-pkcs1")
    assert opener.unwrap(public.encrypt(b"k" * 32, padding.PKCS1v15()), scheme) == b"k" * 32
    garbage = [bytes(255) + bytes((n + 2,)) for n in range(8)]
    assert all(isinstance(opener.unwrap(one, scheme), bytes) for one in garbage)
    assert opener.unwrap(garbage[0], scheme) == opener.unwrap(garbage[0], scheme)
    with pytest.raises(DecryptionFailed):
        opener.unwrap(bytes(10), scheme)  # a wrong length is no secret
    with pytest.raises(DecryptionFailed):
        opener.agree(bytes(65))


def test_ecdh_checks_the_point(vault: Vault, now: datetime) -> None:
    """A point off the curve would give the key away bit by bit."""
    _, opener = lend(vault, "p256", now)
    own = private_key("p256", "ephemeral")
    assert isinstance(own, ec.EllipticCurvePrivateKey)
    public = opener.certificate.public_key
    assert isinstance(public, ec.EllipticCurvePublicKey)
    numbers = own.public_key().public_numbers()
    point = b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    assert opener.agree(point) == own.exchange(ec.ECDH(), public)
    for bad in (b"", point[:-1], point[:-1] + bytes((point[-1] ^ 1,)), b"\x00", point + b"\x00"):
        with pytest.raises(DecryptionFailed):
            opener.agree(bad)
    with pytest.raises(DecryptionFailed):
        opener.unwrap(bytes(256), KeyTransport("rsa-pkcs1"))


def test_the_best_signing_key(vault: Vault, now: datetime) -> None:
    """A person would sign with an expired or an encryption certificate."""
    authority = company()
    day = timedelta(days=1)
    assert vault.signer_for(ALICE, now) is None
    people = {
        "expired": authority.user(str(ALICE), kind="p256", not_after=now - day),
        "short": authority.user(str(ALICE), kind="p256", not_after=now + 10 * day),
        "long": authority.user(str(ALICE), kind="p256", purpose="sign", not_after=now + 20 * day),
        "encrypt": authority.user(
            str(ALICE), kind="p256", purpose="encrypt", not_after=now + 99 * day
        ),
    }
    for one in people.values():
        vault.add(one.key, one.certificate, addresses=[ALICE], now=now)
    best = vault.signer_for(Mailbox.parse("ALICE@example.com"), now)
    assert best is not None
    assert best.certificate == people["long"].certificate
    assert vault.encryption_certificate_for(ALICE, now) == people["encrypt"].certificate
    later = vault.signer_for(ALICE, now + 15 * day)
    assert later is not None
    assert later.certificate == people["long"].certificate
    assert vault.signer_for(ALICE, now + 50 * day) is None
    assert len(vault.decryptors_for(ALICE)) == 4  # expired ones too


def test_domain_keys_open_everybodys_mail_but_do_not_sign_for_people(
    vault: Vault, now: datetime
) -> None:
    """Strict decryption: a recipient's own key or the domain's, nobody else's."""
    gateway, bob = user("gateway@example.com", "p256"), user("bob@example.com", "p256")
    vault.add(gateway.key, gateway.certificate, addresses=["@example.com"], now=now)
    vault.add(bob.key, bob.certificate, addresses=["bob@example.com"], now=now)
    assert [gateway.certificate] == [one.certificate for one in vault.decryptors_for(ALICE)]
    assert vault.decryptors_for(Mailbox.parse("alice@example.org")) == ()
    assert vault.signer_for(ALICE, now) is None


def test_a_key_and_a_strangers_certificate_are_no_pair(vault: Vault, now: datetime) -> None:
    """Everything signed would be invalid, and nobody would notice before the partner."""
    one, other = user("alice@example.com", "p256"), user("bob@example.com", "p256")
    with pytest.raises(ConfigError, match=r"not the one of certificate 'bob@example.com'"):
        vault.add(one.key, other.certificate, addresses=[ALICE], now=now)


def test_nothing_on_disk_or_in_print_is_the_key(
    vault: Vault, directory: Directory, now: datetime
) -> None:
    """A stolen disk or a log file would be the keys."""
    one = user("alice@example.com", "rsa2048")
    vault.add(one.key, one.certificate, addresses=[ALICE], now=now)
    assert isinstance(one.key, rsa.RSAPrivateKey)
    prime = one.key.private_numbers().p.to_bytes(128, "big")
    on_disk = b"".join(path.read_bytes() for path in directory.path.parent.iterdir())
    assert prime[10:40] not in on_disk
    signer = vault.signer_for(ALICE, now)
    for text in (
        repr(vault),
        repr(signer),
        repr(vault.decryptors_for(ALICE)),
        repr(directory.keys_for(ALICE)),
    ):
        assert "key=" not in text
        assert "PrivateKey" not in text
        assert "sealed" not in text


def test_another_key_encryption_key_and_swapped_boxes(
    vault: Vault, directory: Directory, now: datetime
) -> None:
    """Whoever can write to the database could let Alice sign with his own key."""
    alice, eve = user("alice@example.com", "p256"), user("eve@example.com", "p256")
    vault.add(alice.key, alice.certificate, addresses=[ALICE], now=now)
    wrong = Vault(directory, Sealer(Kek(bytes(32)), "private keys"))
    with pytest.raises(KeyUnavailable, match="was sealed under key-encryption key"):
        wrong.signer_for(ALICE, now)
    _, box = vault.seal(eve.key)
    found = directory.key_of(alice.certificate)
    assert found is not None
    directory.keep_key(
        alice.certificate, found.key_id, "both", box, addresses=[], source="imported", now=now
    )
    assert vault.signer_for(ALICE, now) is None
    assert vault.decryptors_for(ALICE) == ()
    with pytest.raises(SealBroken):
        vault.private_key_of(alice.certificate)


def test_one_damaged_box_spares_the_others(
    vault: Vault, directory: Directory, now: datetime
) -> None:
    """A damaged old key would stop all of a person's mail."""
    old, new = user("alice@example.com", "p256"), user("alice@example.com", "rsa2048")
    for one in (old, new):
        vault.add(one.key, one.certificate, addresses=[ALICE], now=now)
    kept = directory.key_of(old.certificate)
    assert kept is not None
    damaged = kept.sealed[:-1] + bytes([kept.sealed[-1] ^ 1])
    directory.keep_key(
        old.certificate, kept.key_id, "both", damaged, addresses=[], source="imported", now=now
    )
    assert [one.certificate for one in vault.decryptors_for(ALICE)] == [new.certificate]


def test_what_another_process_imports_is_lent_here(
    vault: Vault, directory: Directory, now: datetime
) -> None:
    """A worker would sign with yesterday's key until restarted."""
    assert vault.decryptors_for(ALICE) == ()
    with Directory(directory.path) as other:
        one = user("alice@example.com", "p256")
        Vault(other, Sealer(KEK, "private keys")).add(
            one.key, one.certificate, addresses=[ALICE], now=now
        )
    assert len(vault.decryptors_for(ALICE)) == 1
    first = vault.decryptors_for(ALICE)[0]
    assert vault.decryptors_for(ALICE)[0] is first


def test_a_key_that_is_not_here(vault: Vault) -> None:
    """An authority whose key was moved away would crash instead of saying so."""
    with pytest.raises(KeyUnavailable, match=r"'alice@example.com' is not here"):
        vault.signer_of(user("alice@example.com", "p256").certificate)


def test_threads_may_share_what_is_remembered(
    vault: Vault, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail would fail because another one's key was opened at that moment."""
    monkeypatch.setattr(keys, "MAXIMUM_OPEN", 1)
    people = [Mailbox.parse(f"p{n}@example.com") for n in range(4)]
    for one in people:
        made = company().user(str(one), kind="p256")
        vault.add(made.key, made.certificate, addresses=[one], now=now)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(vault.decryptors_for, people * 250))
    finally:
        sys.setswitchinterval(before)
    assert {len(one) for one in found} == {1}
