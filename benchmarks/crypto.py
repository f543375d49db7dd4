"""`make bench-crypto`: our CMS against the primitives it is made of, hostile BER, large mail.

Raw is what nobody can leave out: the digest, the operation with the private key, for
encryption that with the public key, and the cipher over the same octets, called as
`cryptography` offers them.  Both take turns of a millisecond.  What else runs on the machine
only ever adds time, so the tenth of the turns that took least counts; medians are told too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.pki_builder import User, user

from benchmarks import stream
from benchmarks.memory import MIB
from gatepost.cms import content, der, enveloped, signed
from gatepost.cms.capability import KeyTransport
from gatepost.errors import LimitExceeded
from gatepost.mail.content import Content, Octets, join
from gatepost.smime.decrypt import decrypt
from gatepost.smime.encrypt import encrypt
from gatepost.smime.sign import sign
from gatepost.vault.software import SoftwareDecryptor, SoftwareSigner

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LINE = b"The quick brown fox jumps over the lazy dog, and then once again, and again.\r\n"
HEADER = (
    b"From: Alice <alice@example.com>\r\nTo: Bob <bob@example.net>\r\nSubject: Offer\r\n"
    b"Date: Mon, 1 Jun 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n"
)
PKCS1 = KeyTransport("rsa-pkcs1")
PREHASHED = utils.Prehashed(hashes.SHA256())
HOSTILE = 0.050  # seconds
GROWTH = 64 * MIB
GIBIBYTE = 1024  # mebibytes
TURN = 0.001  # seconds

Step = Callable[[], object]


@dataclass(frozen=True)
class Race:
    """Ours against raw over so many octets."""

    name: str
    size: int
    target: float  # ratio of operations a second; 0: only told
    ours: Step
    raw: Step


@dataclass(frozen=True)
class Result:
    """What came of it."""

    name: str
    value: float
    target: float
    unit: str = "ratio"
    median: float | None = None

    @property
    def met(self) -> bool:
        """Ratios are to be reached, everything else to be kept below."""
        if not self.target:
            return True
        return self.value >= self.target if self.unit == "ratio" else self.value <= self.target


class _Bench:
    """Everybody's keys and the octets that are worked on."""

    def __init__(self, size: int) -> None:
        self.data = (LINE * (size // len(LINE) + 1))[: size - 2] + b"\r\n"
        self.rsa = user("alice@example.com", "rsa2048", purpose="sign")
        self.p256 = user("alice@example.com", "p256", purpose="sign")
        self.bob = user("bob@example.net", "rsa2048", purpose="encrypt")
        self.decryptor = SoftwareDecryptor(self.bob.certificate, self.bob.key)  # type: ignore[arg-type]
        self.wrapped = self._public.encrypt(bytes(32), padding.PKCS1v15())
        self.sealed = AESGCM(bytes(32)).encrypt(bytes(12), self.data, None)
        self.cms = join(self._encrypted(Octets(self.data)))
        self.mail = self._sent_to_bob()

    @property
    def _public(self) -> rsa.RSAPublicKey:
        key = self.bob.certificate.public_key
        assert isinstance(key, rsa.RSAPublicKey)
        return key

    # Ours

    def signed(self, who: User, *, detached: bool = True) -> Content:
        """A SignedData."""
        one = SoftwareSigner(who.certificate, who.chain, who.key)  # type: ignore[arg-type]
        return signed.sign(Octets(self.data), [one], None, detached=detached, when=NOW)

    def _encrypted(self, plain: Content) -> Content:
        return enveloped.encrypt(
            plain,
            [self.bob.certificate],
            cipher="aes256-gcm",
            key_transport=PKCS1,
            entropy=os.urandom,
        )

    def signed_and_encrypted(self) -> None:
        """Opaque, as octets at hand or read as a relay would read them."""
        for _ in self._encrypted(self.signed(self.rsa, detached=False)).chunks():
            pass

    def decrypted(self) -> bytes:
        """The content of an AuthEnvelopedData."""
        return enveloped.decrypt(self.cms, [self.decryptor], entropy=os.urandom).content

    def _sent_to_bob(self) -> tuple[bytes, Content]:
        header, body = encrypt(
            HEADER,
            Octets(self.data),
            [self.bob.certificate],
            cipher="aes256-gcm",
            entropy=os.urandom,
        )
        return header, Octets(join(body))

    def mail_signed(self) -> bytes:
        """A whole multipart/signed."""
        one = SoftwareSigner(self.rsa.certificate, self.rsa.chain, self.rsa.key)  # type: ignore[arg-type]
        names = iter(("a" * 24,)).__next__
        return join(sign(HEADER, Octets(self.data), one, now=NOW, names=names)[1])

    def mail_decrypted(self) -> bytes:
        """A whole application/pkcs7-mime opened."""
        return join(decrypt(*self.mail, [self.decryptor], entropy=os.urandom).body)

    # Raw

    def raw_sign(self, who: User) -> None:
        """Digest and private key."""
        digest = hashlib.sha256(self.data).digest()
        if isinstance(who.key, rsa.RSAPrivateKey):
            who.key.sign(digest, padding.PKCS1v15(), PREHASHED)
        else:
            assert isinstance(who.key, ec.EllipticCurvePrivateKey)
            who.key.sign(digest, ec.ECDSA(PREHASHED))

    def raw_sign_and_encrypt(self) -> None:
        """The same, the public key, and the cipher."""
        self.raw_sign(self.rsa)
        key = os.urandom(32)
        self._public.encrypt(key, padding.PKCS1v15())
        AESGCM(key).encrypt(os.urandom(12), self.data, None)

    def raw_decrypt(self) -> None:
        """Private key and cipher."""
        assert isinstance(self.bob.key, rsa.RSAPrivateKey)
        key = self.bob.key.decrypt(self.wrapped, padding.PKCS1v15())
        AESGCM(key).decrypt(bytes(12), self.sealed, None)


def races() -> list[Race]:
    """Issue by issue what is compared; the last two add MIME, and are told only."""
    small, large = _Bench(10 * 1024), _Bench(20 * MIB)
    sign_raw = small.raw_sign
    return [
        Race(
            "RSA-2048 sign",
            10,
            0.90,
            lambda: join(small.signed(small.rsa)),
            lambda: sign_raw(small.rsa),
        ),
        Race(
            "P-256 sign",
            10,
            0.50,
            lambda: join(small.signed(small.p256)),
            lambda: sign_raw(small.p256),
        ),
        Race("sign + encrypt", 10, 0.80, small.signed_and_encrypted, small.raw_sign_and_encrypt),
        Race("decrypt", 10, 0.90, small.decrypted, small.raw_decrypt),
        Race("sign + encrypt", 20480, 0.85, large.signed_and_encrypted, large.raw_sign_and_encrypt),
        Race("decrypt", 20480, 0, large.decrypted, large.raw_decrypt),
        Race("S/MIME sign", 10, 0, small.mail_signed, lambda: sign_raw(small.rsa)),
        Race("S/MIME decrypt", 10, 0, small.mail_decrypted, small.raw_decrypt),
    ]


def ratio(race: Race, seconds: float) -> tuple[float, float]:
    """Raw time over ours: of the least disturbed tenth of all turns, and of the median ones."""
    count = max(1, int(TURN / max(_turn(race.raw, 3), 1e-9) * 3))
    ours: list[float] = []
    raw: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(ours) < 5:
        ours.append(_turn(race.ours, count))
        raw.append(_turn(race.raw, count))
    ours.sort()
    raw.sort()
    tenth, middle = len(ours) // 10, len(ours) // 2
    return raw[tenth] / ours[tenth], raw[middle] / ours[middle]


def _turn(step: Step, count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        step()
    return time.process_time() - start


def hostile() -> float:
    """Seconds to refuse 20 MiB of single octets inside a SignedData."""
    value = der.tlv(0x24, b"\x04\x01x" * (20 * MIB // 3))
    inside = der.sequence(der.tlv(0x06, content.DATA), der.explicit(0, value))
    body = der.sequence(der.integer(1), der.set_of(), inside, der.set_of())
    octets = der.sequence(der.tlv(0x06, content.SIGNED_DATA), der.explicit(0, body))
    times = []
    for _ in range(5):
        start = time.process_time()
        try:
            signed.parse(octets)
        except LimitExceeded:
            times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> int:
    """Measure and print; the exit code is 1 when a target is missed."""
    options = _options()
    results = []
    for race in races():
        least, median = ratio(race, options.seconds)
        name = f"{race.name}, {_size(race.size)}"
        results.append(_told(Result(name, least, race.target, median=median)))
    results.append(_told(Result("hostile BER refused", hostile(), HOSTILE, "seconds")))
    if options.large:
        for way, one in stream.measured(options.large).items():
            name = f"{way}, {_size(options.large * 1024)}: memory"
            results.append(_told(Result(name, one.growth / MIB, GROWTH / MIB, "MiB")))
            results.append(_told(Result(f"{way}: rate", options.large / one.seconds, 0, "MiB/s")))
    if options.json:
        print(json.dumps([asdict(one) | {"met": one.met} for one in results], indent=2))
    return 0 if all(one.met for one in results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crypto", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each comparison")
    parser.add_argument(
        "--large", type=int, default=GIBIBYTE, help="MiB of the large mail; 0: none"
    )
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _told(one: Result) -> Result:
    target = f"target {one.target:g}" if one.target else ""
    target += f" (median {one.median:.3f})" if one.median is not None else ""
    mark = "" if one.met else "  MISSED"
    print(f"{one.name:48s} {one.value:8.3f} {one.unit:8s} {target}{mark}", file=sys.stderr)
    return one


def _size(kibibytes: int) -> str:
    if kibibytes < 1024:
        return f"{kibibytes} KiB"
    return f"{kibibytes >> 10} MiB" if kibibytes < 1 << 20 else f"{kibibytes >> 20} GiB"


if __name__ == "__main__":
    raise SystemExit(main())
