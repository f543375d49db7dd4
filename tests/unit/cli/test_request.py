"""`gatepost cert request|pending|forget`, and the import that finishes a request."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from tests import pki_builder
from tests.unit.cli.conftest import Gatepost
from tests.unit.engine.outside import Outside, failing, later

from gatepost.admin import clock
from gatepost.config import load
from gatepost.engine.enrolment import identities
from gatepost.engine.issuer import GROUP
from gatepost.engine.service import Stores
from gatepost.enrol.source import Issued, Wanted
from gatepost.errors import Refused, Unavailable
from gatepost.mail.address import Mailbox
from gatepost.store.request import Request

pytestmark = pytest.mark.usefixtures("frozen", "home")
ALICE = "alice@example.com"
RULES = """
[[certificate_source]]
name = "outside"
kind = "for-tests"
[[certificate_source]]
name = "other"
kind = "for-tests"
[[identity]]
addresses = ["alice@example.com", "@example.com"]
source = "outside"
key_type = "p256"
"""


class Present:
    """Where the plug-in finds the authority."""

    authority: Outside


def make(_name: str, _options: dict[str, Any]) -> Outside:
    """The plug-in."""
    return Present.authority


@pytest.fixture
def outside(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outside:
    about = tmp_path / "site-packages" / "for_tests-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: for-tests\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{GROUP}]\nfor-tests = {__name__}:make\n")
    monkeypatch.setattr(sys, "path", [str(about.parent), *sys.path])
    config = home / "gatepost.toml"
    config.write_text(config.read_text() + RULES)
    Present.authority = Outside(pki_builder.BORN)
    return Present.authority


def requests(home: Path) -> tuple[Request, ...]:
    stores = Stores.open(load(home / "gatepost.toml"))
    try:
        return stores.directory.requests.all()
    finally:
        stores.close()


def test_issued_at_once(gatepost: Gatepost, outside: Outside) -> None:
    """An administrator would have to wait for somebody's first mail to see whether it works."""
    ran = gatepost("cert", "request", ALICE, "--json")
    assert (ran.code, ran.data["pending"]) == (0, [])
    [fingerprint] = ran.data["issued"]
    shown = gatepost("cert", "show", fingerprint, "--json").data
    assert (shown["private_key"], shown["emails"]) == ("both", [ALICE])
    ran = gatepost("cert", "request", ALICE)
    assert "issued: " in ran.out
    assert outside.wanted[-1].replacing is not None
    assert outside.wanted[-1].replacing.fingerprint == fingerprint
    ran = gatepost("cert", "pending")
    assert (ran.code, ran.out) == (1, "")


def test_pending_and_refused(gatepost: Gatepost, outside: Outside) -> None:
    """Nobody would see for what a person without certificate waits, or how to go on."""
    outside.answers = [later("order 7"), failing(Unavailable("closed for the night"))]
    assert gatepost("cert", "request", ALICE).code == 0
    ran = gatepost("cert", "pending", "--json")
    [one] = ran.data
    assert (one["address"], one["source"], one["waits_for"]) == (ALICE, "outside", "an approval")
    assert one["error"] == ""
    gatepost("cert", "request", ALICE)
    ran = gatepost("cert", "pending")
    assert ran.code == 0
    assert "closed for the night" in ran.out
    assert outside.asked == ["request", "collect order 7"]
    outside.answers = [failing(Refused("the contract ended"))]
    ran = gatepost("cert", "request", ALICE)
    assert ran.code == 1
    assert "it was refused" in ran.out
    assert "the contract ended" in ran.out
    assert gatepost("cert", "pending", "--json").data[0]["refused"]
    ran = gatepost("cert", "request", ALICE)  # anew
    assert "issued: " in ran.out
    assert outside.asked[-1] == "request"


def test_given_up(gatepost: Gatepost, outside: Outside, home: Path) -> None:
    """A request to the wrong authority would be asked about for ever."""
    outside.answers = [later("1"), later("2")]
    gatepost("cert", "request", ALICE)
    before = requests(home)[0].key_id
    gatepost("cert", "request", ALICE, "--source", "other")
    [one] = requests(home)
    assert one.source == "other"
    assert one.key_id != before
    assert gatepost("cert", "forget", ALICE).code == 0
    assert gatepost("cert", "forget", ALICE).code == 2
    assert requests(home) == ()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bob@example.com"], "come from the embedded CA"),
        ([ALICE, "--source", "third"], "no [[certificate_source]] is called 'third'"),
        (["bob@elsewhere.example"], "elsewhere.example is not a domain of ours"),
        (["bob@elsewhere.example", "--source", "outside"], "is not a domain of ours"),
        (["bob", "--source", "outside"], "neither a mailbox"),
    ],
)
def test_what_cannot_be_asked(
    gatepost: Gatepost, outside: Outside, words: list[str], said: str
) -> None:
    """A key would be made for nobody, and the wrong command be tried again."""
    ran = gatepost("cert", "request", *words)
    assert ran.code == 2
    assert said in ran.err
    assert outside.asked == []


def test_a_domain(gatepost: Gatepost, outside: Outside) -> None:
    """The whole company's certificate could not come from an authority that others trust."""
    gatepost("cert", "request", "@example.com")
    gatepost("cert", "request", "domain-signing-authority@example.com")
    assert [(one.address, one.purpose) for one in outside.wanted] == [
        ("@example.com", "encrypt"),
        ("domain-signing-authority@example.com", "sign"),
    ]
    assert gatepost("cert", "pending").code == 1


def test_carried_by_hand(gatepost: Gatepost, outside: Outside, home: Path) -> None:
    """An authority with a web form cannot be asked."""
    assert "gatepost cert request" in gatepost("cert", "csr", ALICE).err
    outside.answers = [later("by post")]
    gatepost("cert", "request", ALICE)
    ran = gatepost("cert", "csr", ALICE)
    assert ran.code == 0
    request = x509.load_pem_x509_csr(ran.out.encode())
    assert request.is_signature_valid
    assert request.public_bytes(Encoding.DER) == requests(home)[0].pkcs10
    [told] = gatepost("cert", "csr", ALICE, "--json").data
    assert told == {"address": ALICE, "purpose": "both", "source": "outside", "csr": ran.out}


@pytest.mark.parametrize("form", ["pem", "der", "p7b"])
def test_brought_by_hand(
    gatepost: Gatepost, outside: Outside, home: Path, tmp_path: Path, form: str
) -> None:
    """A certificate that came by post would be filed as a stranger's, and its key stay unused."""
    outside.answers = [later("by post")]
    gatepost("cert", "request", ALICE)
    [asked] = requests(home)
    wanted = Wanted(ALICE, "both", asked.pkcs10)
    chain = outside.issue(wanted, pki_builder.BORN).chain
    path = tmp_path / f"alice.{form}"
    path.write_bytes(
        {
            "pem": "".join(one.pem for one in chain).encode(),
            "der": chain[0].der,
            "p7b": pkcs7.serialize_certificates([one.x509 for one in chain], Encoding.DER),
        }[form]
    )
    ran = gatepost("cert", "import", path)
    assert ran.code == 0
    assert f"{ALICE} waited for this from 'outside'" in ran.err
    assert requests(home) == ()
    shown = gatepost("cert", "show", chain[0].fingerprint, "--json").data
    assert shown["private_key"] == "both"


def test_the_wrong_one_by_hand(
    gatepost: Gatepost, outside: Outside, home: Path, tmp_path: Path
) -> None:
    """An expired certificate would end the wait, and Alice's mail stand still without a word."""
    outside.answers = [later("by post")]
    gatepost("cert", "request", ALICE)
    [asked] = requests(home)
    long_ago = pki_builder.BORN - timedelta(days=900)
    given: Issued = outside.issue(Wanted(ALICE, "both", asked.pkcs10), long_ago)
    path = tmp_path / "alice.pem"
    path.write_text(given.chain[0].pem)
    ran = gatepost("cert", "import", path)
    assert ran.code == 2
    assert "expired" in ran.err
    assert [one.key_id for one in requests(home)] == [asked.key_id]
    assert gatepost("cert", "show", given.chain[0].fingerprint).code == 2


def test_revoked_here_and_told_where_else(gatepost: Gatepost, outside: Outside) -> None:
    """A stolen key would go on signing until its authority has answered a letter."""
    gatepost("cert", "request", ALICE)
    [one] = gatepost("cert", "list", ALICE, "--json").data
    shown = gatepost("cert", "show", one["fingerprint"], "--json").data
    ran = gatepost("cert", "revoke", one["fingerprint"], "--reason", "keyCompromise", "--new")
    assert ran.code == 0
    assert f"revoke the serial number {shown['serial']}" in ran.err
    assert outside.ca.x509.subject.rfc4514_string() in ran.err
    assert f"gatepost cert request {ALICE}" in ran.err
    assert gatepost("cert", "revoke", one["fingerprint"]).code == 2
    stores = Stores.open(load())
    try:
        alice = Mailbox.parse(ALICE)
        assert stores.vault.signer_for(alice, clock.utc_now()) is None
        assert len(stores.vault.decryptors_for(alice)) == 1
    finally:
        stores.close()
    assert gatepost("cert", "revoke", outside.ca.fingerprint).code == 2  # its key is not here


def test_who_left(gatepost: Gatepost, outside: Outside) -> None:
    """An administrator would hear of one certificate only, and a new one come a day later."""
    gatepost("cert", "request", ALICE)
    [one] = gatepost("cert", "list", ALICE, "--json").data
    gatepost("cert", "issue", ALICE, "--kind", "sign")
    outside.answers = [later("next")]
    gatepost("cert", "request", ALICE)
    assert len(gatepost("cert", "pending", "--json").data) == 1
    issued = [each["fingerprint"] for each in gatepost("cert", "list", ALICE, "--json").data]
    [own] = set(issued) - {one["fingerprint"]}
    ran = gatepost("cert", "revoke", own, "--reason", "affiliationChanged", "--json")
    assert {each["fingerprint"] for each in ran.data} == set(issued)
    shown = gatepost("cert", "show", one["fingerprint"], "--json").data
    assert f"revoke the serial number {shown['serial']}" in ran.err
    assert "what was asked for alice@example.com at 'outside' is given up" in ran.err
    assert gatepost("cert", "pending", "--json").data == []
    stores = Stores.open(load())
    try:
        assert stores.vault.signer_for(Mailbox.parse(ALICE), clock.utc_now()) is None
    finally:
        stores.close()


def test_suspended_and_released(gatepost: Gatepost, outside: Outside, home: Path) -> None:
    """Who is away for long would get a new certificate with his first automatic answer."""
    gatepost("cert", "request", ALICE)
    [one] = gatepost("cert", "list", ALICE, "--json").data
    gatepost("cert", "revoke", one["fingerprint"], "--reason", "certificateHold")
    stores = Stores.open(load())
    try:
        ours = identities(load(), stores.directory, stores.vault, stores.authority)
        with pytest.raises(Refused, match="certificateHold"):
            ours.ensure(Mailbox.parse(ALICE), clock.utc_now())
        assert stores.directory.requests.all() == ()
    finally:
        stores.close()
    assert gatepost("cert", "release", one["fingerprint"]).code == 0
    assert gatepost("cert", "release", one["fingerprint"]).code == 2
    stores = Stores.open(load())
    try:
        assert stores.vault.signer_for(Mailbox.parse(ALICE), clock.utc_now()) is not None
    finally:
        stores.close()
