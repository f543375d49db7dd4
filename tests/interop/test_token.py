"""Keys in a SoftHSM token: what a key in memory does, and what happens when the token goes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.peers.hsm import Tokens, begin

from gatepost.cms.capability import Digest, KeyTransport, SignatureScheme
from gatepost.errors import ConfigError, DecryptionFailed, KeyUnavailable, Unsupported
from gatepost.vault.custody import Safe
from gatepost.vault.held import Held, HeldEc, HeldRsa, held_of
from gatepost.vault.kek import Kek
from gatepost.vault.seal import SealBroken, Sealer
from gatepost.vault.token import Token
from gatepost.vault.token_key import TokenKey

pytestmark = pytest.mark.peer("softhsm2-util")

SEALER = Sealer(Kek(bytes(range(32))), "private keys")
BOTH = frozenset({"people", "authority"})
ALGORITHMS: dict[Digest, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class Clock:
    """Time that passes when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tokens:
    return begin(tmp_path, monkeypatch)


@pytest.fixture
def safe(tokens: Tokens, clock: Clock) -> Safe:
    tokens.make("ours")
    token = Token(tokens.module, "ours", lambda: tokens.pin_file.read_text().strip(), clock)
    return Safe(SEALER, token, BOTH)  # type: ignore[arg-type]


def made(safe: Safe, algorithm: str) -> Held:
    """A key as it is after a restart: from its box alone."""
    key = safe.make(algorithm, "people", "alice")  # type: ignore[arg-type]
    opened = safe.open(*safe.seal(key))
    assert isinstance(opened, Held)
    return opened


def test_rsa(safe: Safe) -> None:
    """Nobody could verify our signatures or write to us."""
    held = made(safe, "rsa2048")
    public = held.public
    assert isinstance(public, rsa.RSAPublicKey)
    for digest, algorithm in ALGORITHMS.items():
        signature = held.holder.sign(b"data", SignatureScheme("rsa-pkcs1", digest))
        public.verify(signature, b"data", padding.PKCS1v15(), algorithm)
        signature = held.holder.sign(b"data", SignatureScheme("rsa-pss", digest))
        pss = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
        public.verify(signature, b"data", pss, algorithm)
    wrapped = public.encrypt(b"k" * 32, padding.PKCS1v15())
    transport = KeyTransport("rsa-pkcs1")
    assert held.holder.unwrap(wrapped, transport) == b"k" * 32
    altered = bytes((wrapped[0] ^ 1, *wrapped[1:]))
    assert held.holder.unwrap(altered, transport) == held.holder.unwrap(altered, transport)
    for wrong in (b"", wrapped[1:], b"\xff" * 256):
        with pytest.raises(DecryptionFailed):
            held.holder.unwrap(wrong, transport)
    how = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    wrapped = public.encrypt(b"k" * 32, how)
    assert held.holder.unwrap(wrapped, KeyTransport("rsa-oaep")) == b"k" * 32
    with pytest.raises(DecryptionFailed):
        held.holder.unwrap(altered, KeyTransport("rsa-oaep"))
    with pytest.raises(Unsupported):
        held.holder.sign(b"data", SignatureScheme("rsa-pkcs1", "sha1"))
    with pytest.raises(DecryptionFailed):
        held.holder.agree(b"\4" + bytes(64))


def test_ec(safe: Safe) -> None:
    """The same for elliptic curves; a point that is none of the curve's never reaches the token."""
    held = made(safe, "p256")
    public = held.public
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signature = held.holder.sign(b"data", SignatureScheme("ecdsa", "sha256"))
    public.verify(signature, b"data", ec.ECDSA(hashes.SHA256()))
    peer = ec.generate_private_key(ec.SECP256R1())
    point = peer.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert held.holder.agree(point) == peer.exchange(ec.ECDH(), public)
    with pytest.raises(DecryptionFailed):
        held.holder.agree(bytes((*point[:-1], point[-1] ^ 1)))
    with pytest.raises(Unsupported):
        held.holder.sign(b"data", SignatureScheme("rsa-pss"))


def test_stays_in_the_token(safe: Safe) -> None:
    """A key of the token could be carried off from the gateway."""
    for algorithm in ("rsa2048", "p256"):
        key = safe.make(algorithm, "authority", "ca")
        assert isinstance(key, HeldRsa | HeldEc)
        with pytest.raises(ConfigError, match="never leaves"):
            key.private_numbers()
        held = held_of(key)
        assert held is not None
        with pytest.raises(SealBroken):
            safe.open("0" * 64, held.box)
    apart = Safe(SEALER, safe.token, frozenset({"authority"}))
    assert held_of(apart.make("p256", "people", "alice")) is None


def test_token_goes_and_comes(safe: Safe, tokens: Tokens, clock: Clock) -> None:
    """After a cable was pulled once, mail would wait until somebody restarted the gateway."""
    held, scheme = made(safe, "p256"), SignatureScheme("ecdsa")
    assert held.holder.sign(b"data", scheme)
    with tokens.carried_away():
        for _ in range(3):
            with pytest.raises(KeyUnavailable, match="token 'ours' cannot be used"):
                held.holder.sign(b"data", scheme)
            clock.now += 1
    assert held.holder.sign(b"data", scheme)


def test_absent_token_is_left_alone(safe: Safe, tokens: Tokens) -> None:
    """A hundred waiting mails would each begin the module anew."""
    held, scheme = made(safe, "p256"), SignatureScheme("ecdsa")
    with tokens.carried_away(), pytest.raises(KeyUnavailable):
        held.holder.sign(b"data", scheme)
    with pytest.raises(KeyUnavailable):  # it is back, but no time has passed
        held.holder.sign(b"data", scheme)


def test_wrong_pin_is_tried_once(tokens: Tokens, clock: Clock) -> None:
    """A token locks after some wrong PINs, and an administrator's typing error would destroy it."""
    tokens.make("ours")
    tokens.write_pin("9999")
    asked: list[str] = []

    def pin() -> str:
        asked.append(tokens.pin_file.read_text().strip())
        return asked[-1]

    token = Token(tokens.module, "ours", pin, clock)
    with pytest.raises(KeyUnavailable, match="PIN was wrong"):  # told so before a second try
        token.make("p256", "alice")
    clock.now += 1
    with pytest.raises(KeyUnavailable, match="PIN was wrong"):
        token.make("p256", "alice")
    tokens.write_pin("1234")
    clock.now += 1
    identity, _ = token.make("p256", "alice")
    token.perform(identity, lambda key: key)
    with pytest.raises(KeyUnavailable):
        token.perform(b"another", lambda key: key)


def test_found_by_its_label(safe: Safe) -> None:
    """A company that made its keys at a ceremony could not use them."""
    assert safe.token is not None
    identity, public = safe.token.make("p256", "made at a ceremony")
    held = held_of(safe.adopt("made at a ceremony"))
    assert held is not None
    assert isinstance(held.holder, TokenKey)
    assert held.holder.reference.identity == identity
    assert held.public == public
    with pytest.raises(ConfigError, match="0 public keys"):
        safe.adopt("another")


def test_without_a_token_mail_waits(safe: Safe) -> None:
    """A forgotten [vault.token] would bounce mail instead of holding it."""
    box = safe.seal(safe.make("p256", "people", "alice"))
    held = Safe(SEALER).open(*box)
    assert isinstance(held, Held)
    with pytest.raises(KeyUnavailable, match=r"vault\.token"):
        held.holder.sign(b"data", SignatureScheme("ecdsa"))


def test_many_threads_and_tokens(safe: Safe, tokens: Tokens) -> None:
    """python-pkcs11 corrupts memory when two sessions are used at once."""
    tokens.make("second")
    other = Safe(SEALER, Token(tokens.module, "second", lambda: "1234"), BOTH)  # type: ignore[arg-type]
    keys = [made(safe, "p256"), made(other, "p256")] * 4
    scheme = SignatureScheme("ecdsa")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda one: len(one.holder.sign(b"data", scheme)), keys * 10))
    assert len(done) == 80


def test_no_such_module(tmp_path: Path) -> None:
    """A wrong path must say so, and bounce nothing."""
    token = Token(str(tmp_path / "none.so"), "ours", lambda: "1234")
    with pytest.raises(KeyUnavailable, match=r"none\.so"):
        token.make("p256", "alice")
