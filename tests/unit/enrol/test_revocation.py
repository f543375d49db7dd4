"""What is taken back when somebody leaves, and given back when he returns."""

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from gatepost.certificate import Certificate
from gatepost.enrol.barring import barring
from gatepost.enrol.local import LocalAuthority
from gatepost.enrol.profile import USER_LIFE, Issuer, issuing, root, user
from gatepost.enrol.revocation import Revocation
from gatepost.errors import Refused
from gatepost.mail.address import Mailbox
from gatepost.store.directory import Directory
from gatepost.vault.custody import PrivateKey, generate
from gatepost.vault.keys import Purpose, Vault

ALICE, BOB = Mailbox.parse("alice@example.com"), Mailbox.parse("bob@example.com")
HOLD, GONE = "certificateHold", "affiliationChanged"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def revocation(authority: LocalAuthority) -> Revocation:
    return Revocation(authority.directory, authority)


class Elsewhere:
    """Another authority, whose certificates are brought with their keys."""

    def __init__(self, now: datetime) -> None:
        above, self.key = generate("p256"), generate("p256")
        top = root("Elsewhere", above, now)
        self.issuing = issuing("Elsewhere", self.key, Issuer(top, above), now, None)

    def brought(
        self, vault: Vault, who: Mailbox, now: datetime, purpose: Purpose = "sign"
    ) -> Certificate:
        key: PrivateKey = generate("p256")
        made = user(who.key, "sign", key, Issuer(self.issuing, self.key), now)
        vault.add(key, made, purpose, addresses=[who.key], now=now)
        return made


@pytest.fixture
def elsewhere(now: datetime) -> Elsewhere:
    return Elsewhere(now)


def test_an_older_certificate(
    authority: LocalAuthority, revocation: Revocation, now: datetime
) -> None:
    """In the weeks between renewal and end somebody dismissed would sign with the one before."""
    first = authority.ensure(ALICE, now)
    later = now + USER_LIFE - timedelta(days=20)
    second = authority.ensure(ALICE, later)
    assert first.signer.certificate != second.signer.certificate
    for one in (second.signer.certificate, second.encryption):
        assert len(revocation.revoke(one, HOLD, later)) == 2
    assert authority.vault.signer_for(ALICE, later) is None
    with pytest.raises(Refused):
        authority.ensure(ALICE, later)
    for one in (second.signer.certificate, second.encryption):
        assert revocation.release(one, later)
        assert not revocation.release(one, later)
    assert authority.ensure(ALICE, later).signer.certificate == second.signer.certificate
    assert authority.directory.revoked() == frozenset()


@pytest.mark.parametrize("purpose", ["sign", "both"])
@pytest.mark.parametrize("is_ours_named", [True, False])
def test_another_authoritys(
    revocation: Revocation,
    vault: Vault,
    elsewhere: Elsewhere,
    now: datetime,
    purpose: Purpose,
    is_ours_named: bool,
) -> None:
    """Somebody dismissed would sign with what he had brought, whichever of both is named."""
    authority = revocation.authority
    assert authority is not None
    ours = authority.issue(ALICE, "sign", now)
    theirs = elsewhere.brought(vault, ALICE, now, purpose)
    bobs = elsewhere.brought(vault, BOB, now)
    named, other = (ours, theirs) if is_ours_named else (theirs, ours)
    assert revocation.revoke(named, HOLD, now) == (named, other)
    assert revocation.revoke(named, HOLD, now) == ()
    assert vault.signer_for(ALICE, now) is None
    assert vault.decryptors_for(ALICE) != ()
    listed = authority.revocations(authority.issuing, now)
    assert listed is not None
    published = x509.load_der_x509_crl(listed.der)
    assert published.get_revoked_certificate_by_serial_number(ours.serial) is not None
    assert revocation.release(named, now)
    assert authority.directory.revoked() == frozenset()
    found = vault.signer_for(BOB, now)
    assert found is not None
    assert found.certificate == bobs


def test_what_is_replaced_stands_alone(
    revocation: Revocation, vault: Vault, elsewhere: Elsewhere, now: datetime
) -> None:
    """Whose key was stolen could not sign with his other one."""
    first, second = (elsewhere.brought(vault, ALICE, now) for _ in range(2))
    assert revocation.revoke(first, "keyCompromise", now) == (first,)
    found = vault.signer_for(ALICE, now)
    assert found is not None
    assert found.certificate == second
    assert barring(revocation.directory, ALICE, "sign") == ""


def test_nothing_new_by_writing(
    revocation: Revocation, vault: Vault, elsewhere: Elsewhere, now: datetime
) -> None:
    """Who had brought his certificate, and left, would get one of ours for his next mail."""
    authority, directory = revocation.authority, revocation.directory
    assert authority is not None
    brought = elsewhere.brought(vault, ALICE, now)
    assert revocation.revoke(brought, GONE, now)
    for moment in now, brought.not_after + MINUTE:
        with pytest.raises(Refused, match=r"affiliationChanged.*gatepost cert issue alice"):
            authority.ensure(ALICE, moment)
    assert barring(directory, ALICE, "encrypt") == ""  # it could not decrypt
    assert barring(directory, BOB, "sign") == ""


@pytest.mark.parametrize("reason", ["superseded", "keyCompromise"])
def test_back_again(
    revocation: Revocation, vault: Vault, elsewhere: Elsewhere, now: datetime, reason: str
) -> None:
    """Who came back would lose his certificate at its first change for good."""
    authority = revocation.authority
    assert authority is not None
    old = elsewhere.brought(vault, ALICE, now)
    assert revocation.revoke(old, reason, now)
    left = elsewhere.brought(vault, ALICE, now)
    assert revocation.revoke(left, GONE, now + MINUTE) == (left,)
    assert barring(revocation.directory, ALICE, "sign") == GONE  # the old one is not newer
    back = authority.issue(ALICE, "sign", now + 2 * MINUTE)
    assert barring(revocation.directory, ALICE, "sign") == ""
    assert revocation.revoke(back, reason, now + 3 * MINUTE)
    assert authority.ensure(ALICE, now + 4 * MINUTE).signer.certificate not in {old, left, back}


def test_without_an_authority(
    directory: Directory, vault: Vault, elsewhere: Elsewhere, now: datetime
) -> None:
    """A company that buys all its certificates could stop nobody."""
    first, second = (elsewhere.brought(vault, ALICE, now) for _ in range(2))
    assert Revocation(directory, None).revoke(first, GONE, now) == (first, second)
    assert vault.signer_for(ALICE, now) is None


def test_a_strange_address(directory: Directory, vault: Vault, now: datetime) -> None:
    """What a stranger wrote into a certificate would keep it in use."""
    key = generate("p256")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Alice")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + USER_LIFE)
    odd = x509.SubjectAlternativeName([x509.RFC822Name("no address")])
    made = Certificate.from_x509(builder.add_extension(odd, critical=False).sign(key, SHA256()))
    vault.add(key, made, "sign", addresses=[ALICE.key], now=now)
    assert Revocation(directory, None).revoke(made, GONE, now) == (made,)
    assert vault.signer_for(ALICE, now) is None
    assert barring(directory, ALICE, "sign") == GONE
