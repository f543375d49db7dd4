"""What the embedded CA publishes, by two workers, to programs that we did not write."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.postfix import free_port

from gatepost.certificate import Certificate
from gatepost.pki.crl import Crl
from gatepost.pki.place import list_places, responder_places

pytestmark = pytest.mark.peer("openssl")

HERE = "xyz.us.example"
ALICE, BOB = f"alice@{HERE}", f"bob@{HERE}"
CLEAR = '[defaults]\nsign = "never"\nencrypt = "never"\n'


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """Two workers that publish at one address."""
    with Lab() as lab:
        port = free_port()
        table = f'[public]\nbind = "127.0.0.1:{port}"\nurl = "http://127.0.0.1:{port}"\n[log]'
        edits = {"# workers = 1": "workers = 2", "[log]": table}
        made = lab.planned(HERE, free_port(), free_port(), edits=edits)
        made.policy(CLEAR)
        made.start()
        yield made


def fetched(url: str) -> bytes:
    """As any program fetches it."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("application/pkix-")
        return bytes(answer.read())


def issued(gateway: Gateway, address: str, folder: Path) -> Certificate:
    """A certificate made by command, and its file."""
    gateway.command("cert", "issue", address, "--kind", "sign")
    path = folder / f"{address}.pem"
    gateway.command("cert", "export", address, "--output", str(path))
    return Certificate.from_pem(path.read_bytes())[0]


def issuer_of(one: Certificate) -> Certificate:
    """Fetched from where the certificate says (RFC 5280 section 4.2.2.1)."""
    access = one.x509.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    kind = x509.oid.AuthorityInformationAccessOID.CA_ISSUERS
    (place,) = [each.access_location.value for each in access if each.access_method == kind]
    return Certificate.from_der(fetched(place))


def openssl(*arguments: object) -> str:
    """What OpenSSL says, whatever its exit code."""
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_a_revocation_is_told_by_all_means(gateway: Gateway, tmp_path: Path) -> None:
    """The world goes on trusting a stolen key; or one worker of two says so."""
    alice, bob = issued(gateway, ALICE, tmp_path), issued(gateway, BOB, tmp_path)
    issuing = issuer_of(alice)
    (place,), (responder,) = list_places(alice), responder_places(alice)
    base = place.rpartition("/")[0]
    gateway.command("cert", "export", "ca", "--output", str(tmp_path / "root.pem"))
    root = Certificate.from_pem((tmp_path / "root.pem").read_bytes())[0]
    above = f"{base}/{root.fingerprint[:16]}"
    assert fetched(f"{above}.cer") == root.der
    (tmp_path / "issuing.pem").write_text(issuing.pem)

    def lists() -> list[Crl]:
        """From whichever worker answers."""
        return [Crl.from_der(fetched(place)) for _ in range(12)]

    def verified(address: str) -> str:
        """By path and both lists."""
        both = (fetched(place), fetched(f"{above}.crl"))
        pems = [x509.load_der_x509_crl(one).public_bytes(Encoding.PEM) for one in both]
        (tmp_path / "lists.pem").write_bytes(b"".join(pems))
        return openssl(
            *("verify", "-crl_check_all", "-purpose", "any"),
            *("-CAfile", tmp_path / "root.pem", "-untrusted", tmp_path / "issuing.pem"),
            *("-CRLfile", tmp_path / "lists.pem", tmp_path / f"{address}.pem"),
        )

    def answered(address: str) -> str:
        """By OCSP, as OpenSSL asks and checks."""
        return openssl(
            *("ocsp", "-issuer", tmp_path / "issuing.pem", "-cert", tmp_path / f"{address}.pem"),
            *("-url", responder, "-CAfile", tmp_path / "root.pem"),
        )

    assert re.search(r"\.pem: OK", verified(ALICE)), verified(ALICE)
    said = answered(ALICE)
    assert "Response verify OK" in said
    assert ".pem: good" in said
    before = {one.number for one in lists()}
    assert len(before) == 1
    gateway.command("cert", "revoke", alice.fingerprint, "--reason", "keyCompromise")
    after = lists()
    assert {one.number for one in after}.isdisjoint(before)
    assert all(one.entry(one.issuer, alice.serial) for one in after)
    assert not any(one.entry(one.issuer, bob.serial) for one in after)
    assert "certificate revoked" in verified(ALICE)
    assert re.search(r"\.pem: OK", verified(BOB))
    said = answered(ALICE)
    assert ".pem: revoked" in said
    assert "Reason: keyCompromise" in said
    assert ".pem: good" in answered(BOB)
