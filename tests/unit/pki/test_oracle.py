"""Generated chains, judged here and by `openssl verify`: both must say the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.unit.pki.forge import NOW, authority, forge, key
from tests.unit.pki.revoke import listed, revoked, scope

from gatepost.certificate import Certificate
from gatepost.pki.crl import Crl
from gatepost.pki.evidence import Evidence
from gatepost.pki.validate import Anchors, validate

ROOT = authority("Root", kind="rsa2048")
Case = tuple[Certificate, tuple[Certificate, ...], tuple[Crl, ...]]


def _tree(host: str) -> x509.NameConstraints:
    return x509.NameConstraints([x509.RFC822Name(host)], None)


def _barring(host: str) -> x509.NameConstraints:
    return x509.NameConstraints(None, [x509.RFC822Name(host)])


def _cases() -> Iterator[Case]:
    """Every fault alone, for each kind of key a CA may have."""
    for kind in ("p256", "rsa2048", "ed25519"):
        issuer = f"Issuing {kind}"
        for changes in (
            {},
            {"path_length": 0},
            {"ca": False},
            {"ca": None},
            {"usages": ("crl_sign",)},
            {"days": (-9, -1)},
            {"constraints": _tree("example.com")},
            {"constraints": _tree(".example.com")},
            {"constraints": _tree("example.org")},
            {"constraints": _barring("example.com")},
            {"constraints": _barring("a@example.com")},
            {"key_name": "Mallory"},
        ):
            above = authority(issuer, "Root", kind=kind, by="rsa2048", **changes)
            yield forge("leaf", issuer, by=kind), (above,), ()
            middle = authority("Middle", issuer, by=kind)
            yield forge("leaf", "Middle"), (middle, above), ()
    yield from _listed_cases()


def _listed_cases() -> Iterator[Case]:
    above = (authority("Lister", "Root", by="rsa2048"),)
    leaf = forge("leaf", "Lister")
    some = scope(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}))
    for one in (
        listed("Lister"),
        listed("Lister", [revoked(leaf.serial)]),
        listed("Lister", [revoked(leaf.serial + 1)]),
        listed("Lister", days=(-9, -1)),
        listed("Lister", days=(1, 9)),
        listed("Lister", extra=[scope(only_contains_ca_certs=True)]),
        listed("Lister", extra=[scope(only_contains_user_certs=True)]),
        listed("Lister", extra=[some]),
        listed("Other"),
    ):
        yield leaf, above, (one,)


@pytest.mark.peer("openssl")
def test_openssl_agrees(tmp_path: Path) -> None:
    """A path that every other program refuses would count here, or the other way round."""
    (tmp_path / "root").write_text(ROOT.pem)
    different, held = [], 0
    for number, (leaf, above, lists) in enumerate(_cases()):
        # openssl asks the leaf's list only; the root's is left out on both sides
        evidence = Evidence((*lists, _root_list()), required=True) if lists else None
        anchors = Anchors(frozenset({ROOT}), evidence=evidence)
        ours = validate(leaf, above, anchors, moment=NOW)
        theirs = _openssl(tmp_path, leaf, above, lists)
        held += ours.trusted
        if ours.trusted is not (not theirs):
            different.append((number, ours.reasons, theirs))
    assert different == []
    assert held > 15


def _root_list() -> Crl:
    return listed("Root", signing=key("rsa2048", "Root"))


def _openssl(
    folder: Path, leaf: Certificate, above: tuple[Certificate, ...], lists: tuple[Crl, ...]
) -> str:
    """What openssl says against it; empty when it is content."""
    (folder / "leaf").write_text(leaf.pem)
    (folder / "above").write_text("".join(one.pem for one in above))
    command = ["openssl", "verify", "-purpose", "smimesign"]
    command += ["-attime", str(int(NOW.timestamp())), "-CAfile", "root", "-untrusted", "above"]
    if lists:
        pems = [one.parsed.public_bytes(Encoding.PEM) for one in lists]
        (folder / "lists").write_bytes(b"".join(pems))
        command += ["-crl_check", "-extended_crl", "-CRLfile", "lists"]
    done = subprocess.run(
        [*command, "leaf"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return "" if done.returncode == 0 else done.stderr or "refused"
