"""Choosing a certificate, and asking a revocation list: `python -m benchmarks.pki`.

Processor time, best of several rounds.  The unit is one verification of a signature of such a
chain by `cryptography`, key and octets at hand, as cold as the rest: in turn with it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from tests.unit.pki.forge import NOW, authority, forge, key, name

from gatepost import certificate
from gatepost.certificate import Certificate
from gatepost.mail.address import Mailbox
from gatepost.pki import build, validate
from gatepost.pki.choose import Candidate, Choice, choose, watched
from gatepost.pki.crl import Crl
from gatepost.pki.revocation import listed

A = Mailbox.parse("a@example.com")
ROUNDS = 5
RECIPIENTS = 60
REVOKED = 50_000
_SERIALS = iter(range(2**40, 2**62))


@dataclass(frozen=True)
class Lineage:
    """A recipient's certificate and all above it, as octets, as the directory has them."""

    leaf: bytes
    upper: bytes
    lower: bytes
    root: bytes

    @classmethod
    def new(cls, kind: str, above: Lineage | None = None) -> Lineage:
        """Four certificates nobody has seen, or a new recipient under known authorities."""
        serial = next(_SERIALS)
        name = f"leaf {serial}"
        leaf = forge(name, "Lower", kind=kind, by=kind, serial=serial, key_name="leaf").der
        if above is not None:
            return cls(leaf, above.upper, above.lower, above.root)
        return cls(
            leaf,
            authority("Upper", "Root", kind=kind, by=kind, serial=next(_SERIALS)).der,
            authority("Lower", "Upper", kind=kind, by=kind, serial=next(_SERIALS)).der,
            authority("Root", kind=kind, serial=next(_SERIALS)).der,
        )

    def verification(self, name: str) -> Callable[[], object]:
        """Nothing but the signature on one of them, ready to be checked."""
        child = x509.load_der_x509_certificate(getattr(self, name))
        issuer = {"leaf": self.lower, "lower": self.upper, "upper": self.root}[name]
        public: Any = x509.load_der_x509_certificate(issuer).public_key()
        signature, octets, digest = child.signature, child.tbs_certificate_bytes, hashes.SHA256()
        if isinstance(public, rsa.RSAPublicKey):
            return lambda: public.verify(signature, octets, padding.PKCS1v15(), digest)
        return lambda: public.verify(signature, octets, ec.ECDSA(digest))

    def ask(self) -> Choice:
        """Read, choose and validate for one recipient."""
        upper, lower, root = map(Certificate.from_der, (self.upper, self.lower, self.root))
        candidates = [Candidate(Certificate.from_der(self.leaf), issuers=(upper, lower))]
        anchors = validate.Anchors(frozenset({root}))
        chosen = choose(candidates, A, anchors, NOW)
        found = watched(chosen, candidates, A, anchors, NOW, known=None)
        assert found.chosen is not None
        return found


@dataclass(frozen=True)
class Case:
    """What is new in each turn, and what is forgotten before."""

    title: str
    make: Callable[[], Lineage]
    unread: bool = True
    forget: Callable[[], object] = int


def main() -> None:
    """A recipient from the cache and cold, for two kinds of key; then a long list."""
    for kind in ("rsa2048", "p256"):
        known = Lineage.new(kind)
        known.ask()
        print(f"{kind}: from the cache {_best(known.ask, 2000) * 1e6:.1f} µs")
        for case in _cases(kind, known):
            spent, one = min(_turns(case) for _ in range(ROUNDS))
            print(f"  {case.title}: {spent * 1e6:.0f} µs = {spent / one:.1f} × {one * 1e6:.0f} µs")
    _list()


def _cases(kind: str, known: Lineage) -> tuple[Case, ...]:
    """From what a running process nearly has to what one that has just started has not."""
    return (
        Case("known, but all verdicts forgotten; 3 signatures", lambda: known, False, _forget),
        Case("new to known authorities; 1 signature", lambda: Lineage.new(kind, known)),
        Case(
            "new to unchecked authorities; 3 signatures",
            lambda: Lineage.new(kind, known),
            forget=_forget,
        ),
        Case("all four new, but read; 3 signatures", lambda: Lineage.new(kind), unread=False),
        Case("all four new; 3 signatures", lambda: Lineage.new(kind)),
    )


def _forget() -> None:
    validate._remembered.cache_clear()  # noqa: SLF001  what a cold look-up has not
    build._signed_before.cache_clear()  # noqa: SLF001


def _turns(case: Case) -> tuple[float, float]:
    """Seconds to ask, and for one bare verification."""
    given = [case.make() for _ in range(2 * RECIPIENTS)]
    bare = [[one.verification(child) for child in ["leaf", "lower", "upper"]] for one in given[::2]]
    if case.unread:
        certificate._parse.cache_clear()  # noqa: SLF001  they were read when they were made
    gc.collect()
    asked = verified = 0.0
    for verifications, one in zip(bare, given[1::2], strict=True):
        case.forget()
        began = time.process_time()
        one.ask()
        between = time.process_time()
        for verify in verifications:
            verify()
        asked += between - began
        verified += time.process_time() - between
    return asked / RECIPIENTS, verified / RECIPIENTS / 3


def _list() -> None:
    """What one certificate costs once a long list is read and its signature is checked."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name("Lower"))
        .last_update(NOW)
        .next_update(NOW + timedelta(days=7))
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    for serial in range(1, REVOKED + 1):
        one = x509.RevokedCertificateBuilder().serial_number(serial << 64).revocation_date(NOW)
        builder = builder.add_revoked_certificate(one.build())
    der = builder.sign(key("p256", "Lower"), hashes.SHA256()).public_bytes(Encoding.DER)
    began = time.process_time()
    crl = Crl.from_der(der)
    loaded = time.process_time() - began
    revoked = forge("leaf", "Lower", serial=(REVOKED // 2) << 64)
    good = forge("leaf", "Lower")
    assert listed(crl, (), revoked) is not None
    assert listed(crl, (), good) is None
    for what, leaf in (("revoked", revoked), ("good", good)):
        spent = _best(lambda leaf=leaf: listed(crl, (), leaf), 5000)  # type: ignore[misc]  # bound now
        print(f"list of {REVOKED}: {what} in {spent * 1e6:.2f} µs; read once in {loaded:.2f} s")


def _best(work: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - began) / times)
    return best


if __name__ == "__main__":
    main()
