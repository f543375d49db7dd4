"""The company's own CA."""

import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.pki_builder import user

from gatepost.certificate import Certificate
from gatepost.cms.capability import KeyTransport, SignatureScheme
from gatepost.enrol.local import LocalAuthority, exists
from gatepost.enrol.profile import USER_LIFE
from gatepost.errors import ConfigError, Refused, Unavailable, Unsupported
from gatepost.mail.address import Mailbox
from gatepost.pki.choose import choose
from gatepost.pki.validate import validate
from gatepost.store.directory import Directory
from gatepost.vault.keys import Vault
from gatepost.vault.token import Algorithm

ALICE = Mailbox.parse("Alice@example.com")
YEAR = timedelta(days=365)


def openssl(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return f"{done.returncode} {done.stdout}{done.stderr}"


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize(
    ("algorithm", "user_key"), [("p256", "p256"), ("p256", "rsa2048"), ("rsa3072", "rsa2048")]
)
def test_openssl_accepts_what_we_issue(
    tmp_path: Path,
    directory: Directory,
    vault: Vault,
    now: datetime,
    algorithm: Algorithm,
    user_key: Algorithm,
    constrained: bool,
) -> None:
    """Partners' mail programs would call our people's signatures invalid."""
    made = LocalAuthority.create(
        directory,
        vault,
        "Example GmbH",
        ["example.com"],
        algorithm=algorithm,
        user_key=user_key,
        constrained=constrained,
        now=now,
    )
    found = made.ensure(ALICE, now)
    at = str(int(now.timestamp()))
    for name, one in (("root", made.root), ("issuing", made.issuing)):
        (tmp_path / f"{name}.pem").write_text(one.pem)
    for wanted, one in (
        ("smimesign", found.signer.certificate),
        ("smimeencrypt", found.encryption),
    ):
        (tmp_path / "user.pem").write_text(one.pem)
        # OpenSSL 3 asks for keyEncipherment even where RFC 5753 wants keyAgreement
        purpose = "any" if (wanted, user_key) == ("smimeencrypt", "p256") else wanted
        arguments = (
            "verify",
            "-x509_strict",
            "-attime",
            at,
            "-purpose",
            purpose,
            "-verify_email",
            "alice@example.com",
            "-CAfile",
            tmp_path / "root.pem",
            "-untrusted",
            tmp_path / "issuing.pem",
            tmp_path / "user.pem",
        )
        assert "OK" in openssl(*arguments)
    crossed = {"smimesign": found.encryption, "smimeencrypt": found.signer.certificate}
    (tmp_path / "user.pem").write_text(crossed["smimesign"].pem)
    assert not openssl(
        "verify",
        "-attime",
        at,
        "-purpose",
        "smimesign",
        "-CAfile",
        tmp_path / "root.pem",
        "-untrusted",
        tmp_path / "issuing.pem",
        tmp_path / "user.pem",
    ).startswith("0")


T = TypeVar("T", bound=x509.ExtensionType)


def extension(certificate: Certificate, kind: type[T]) -> x509.Extension[T]:
    return certificate.x509.extensions.get_extension_for_class(kind)


def test_the_profile_of_a_users_certificates(authority: LocalAuthority, now: datetime) -> None:
    """Outlook, Apple Mail and auditors look at exactly these fields."""
    signer, encryption = authority.ensure(ALICE, now)
    signing = signer.certificate
    assert frozenset({"digital_signature"}) == signing.key_usage
    assert frozenset({"key_agreement"}) == encryption.key_usage
    assert signing.x509.public_key() != encryption.x509.public_key()
    for one in (signing, encryption):
        assert one.emails == ("alice@example.com",)
        assert one.name == "alice@example.com"
        assert not one.is_authority
        assert list(extension(one, x509.ExtendedKeyUsage).value) == [
            ExtendedKeyUsageOID.EMAIL_PROTECTION
        ]
        assert extension(one, x509.KeyUsage).critical
        assert extension(one, x509.BasicConstraints).critical
        assert not extension(one, x509.SubjectAlternativeName).critical
        assert (
            extension(one, x509.AuthorityKeyIdentifier).value.key_identifier
            == authority.issuing.key_id
        )
        assert one.key_id
        assert one.serial.bit_length() > 64
        assert one.not_before == now - timedelta(hours=1)
        assert timedelta(days=700) < one.not_after - now <= timedelta(days=825)
        attributes = [a.oid for a in one.x509.subject]
        assert attributes == [NameOID.COMMON_NAME]
    assert extension(authority.issuing, x509.BasicConstraints).value.path_length == 0
    assert (
        frozenset({"key_cert_sign", "crl_sign"})
        == authority.root.key_usage
        == authority.issuing.key_usage
    )


def test_the_chain_travels_with_the_signature_and_leads_to_our_anchor(
    directory: Directory, authority: LocalAuthority, now: datetime
) -> None:
    """Receivers who know our root only could not build the path."""
    signer, encryption = authority.ensure(ALICE, now)
    assert signer.chain == (authority.issuing,)
    anchors = directory.anchors_for("anything.example")
    report = validate(signer.certificate, signer.chain, anchors, moment=now)
    assert report.reasons == ()
    assert report.chain == (signer.certificate, authority.issuing, authority.root)
    choice = choose(directory.candidates_for(ALICE), ALICE, anchors, now)
    assert choice.chosen == encryption


def test_keys_work(authority: LocalAuthority, vault: Vault, now: datetime) -> None:
    """Signatures would not verify, mail would not open."""
    signer, encryption = authority.ensure(ALICE, now)
    signature = signer.sign(b"data", SignatureScheme("ecdsa"))
    public = signer.certificate.public_key
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, b"data", ec.ECDSA(SHA256()))
    assert {one.certificate for one in vault.decryptors_for(ALICE)} == {
        encryption,
        signer.certificate,
    }


def test_a_second_mail_issues_nothing(
    authority: LocalAuthority, directory: Directory, now: datetime
) -> None:
    """Every mail would come with another certificate, and correspondents would be lost."""
    first = authority.ensure(ALICE, now)
    again = authority.ensure(Mailbox.parse("alice@EXAMPLE.com"), now + YEAR)
    assert first.signer.certificate == again.signer.certificate
    assert first.encryption == again.encryption
    assert len(directory.find(address=ALICE)) == 2


def test_renewal_keeps_the_old_keys_for_old_mail(
    authority: LocalAuthority, vault: Vault, now: datetime
) -> None:
    """Mail encrypted a year ago could not be read after the renewal."""
    first = authority.ensure(ALICE, now)
    later = first.encryption.not_after - timedelta(days=29)
    second = authority.ensure(ALICE, later)
    assert second.encryption != first.encryption
    assert second.signer.certificate != first.signer.certificate
    assert first.encryption in {one.certificate for one in vault.decryptors_for(ALICE)}
    assert authority.ensure(ALICE, later).encryption == second.encryption


def test_the_issuing_ca_is_renewed_before_it_shortens_certificates(
    authority: LocalAuthority, directory: Directory, now: datetime
) -> None:
    """After three years users' certificates would grow shorter and shorter, then stop."""
    authority.ensure(ALICE, now)
    first = authority.issuing
    later = now + 4 * YEAR
    renewed = authority.ensure(ALICE, later)
    assert authority.issuing != first
    assert renewed.signer.chain == (authority.issuing,)
    assert renewed.encryption.not_after - later > timedelta(days=700)
    report = validate(renewed.encryption, (), directory.anchors_for("x.example"), moment=later)
    assert report.trusted


def test_near_the_roots_end_certificates_are_clipped_but_not_renewed_at_every_mail(
    authority: LocalAuthority, now: datetime
) -> None:
    """In the root's last month every mail would make two new keys."""
    last = authority.root.not_after - timedelta(days=10)
    first = authority.ensure(ALICE, last)
    assert first.encryption.not_after == authority.root.not_after
    assert authority.ensure(ALICE, last + timedelta(days=1)).encryption == first.encryption
    with pytest.raises(Unavailable, match="is valid from"):
        authority.ensure(ALICE, authority.root.not_after + timedelta(days=1))


def test_imported_keys_are_used_instead_of_new_ones(
    authority: LocalAuthority, vault: Vault, directory: Directory, now: datetime
) -> None:
    """A user with a bought certificate would suddenly sign with one of ours."""
    bought = user("alice@example.com")
    vault.add(bought.key, bought.certificate, addresses=[ALICE], now=now)
    found = authority.ensure(ALICE, now)
    assert found.signer.certificate == found.encryption == bought.certificate
    assert len(directory.find(address=ALICE)) == 1
    late = bought.certificate.not_after - timedelta(days=1)
    assert authority.ensure(ALICE, late).encryption == bought.certificate
    assert authority.ensure(ALICE, late + timedelta(days=2)).encryption != bought.certificate


def test_nobody_else_is_certified(authority: LocalAuthority, now: datetime) -> None:
    """We could impersonate any correspondent to ourselves."""
    with pytest.raises(Refused, match="not a domain of ours"):
        authority.ensure(Mailbox.parse("eve@example.org"), now)
    with pytest.raises(Refused):
        authority.ensure(Mailbox.parse("eve@sub.example.com"), now)
    with pytest.raises(Unsupported, match="non-ASCII"):
        authority.ensure(Mailbox.parse("zoë@example.com"), now)


def test_a_second_ca_is_refused(
    directory: Directory, vault: Vault, authority: LocalAuthority, now: datetime
) -> None:
    """Running init again would orphan every certificate issued."""
    root = authority.root
    with pytest.raises(ConfigError, match="already"):
        LocalAuthority.create(directory, vault, "Example GmbH", ["example.com"], now=now)
    assert root == authority.root
    assert exists(directory)


def test_without_a_ca_the_next_step_is_named(
    directory: Directory, vault: Vault, now: datetime
) -> None:
    """A sender would get a traceback."""
    with pytest.raises(Unavailable, match="gatepost init"):
        LocalAuthority(directory, vault, frozenset({"example.com"})).ensure(ALICE, now)
    assert not exists(directory)


def test_a_long_address_goes_without_common_name(authority: LocalAuthority, now: datetime) -> None:
    """RFC 5280 allows 64 characters there; longer ones made the whole certificate invalid."""
    long = Mailbox.parse("a" * 60 + "@example.com")
    certificate = authority.issue(long, "sign", now)
    assert certificate.emails == (str(long),)
    assert list(certificate.x509.subject) == []
    assert extension(certificate, x509.SubjectAlternativeName).critical


def test_a_domain_certificate_opens_everybodys_mail(
    authority: LocalAuthority, directory: Directory, vault: Vault, now: datetime
) -> None:
    """Partners who encrypt to the company, not to people, could not be read."""
    made = authority.issue_domain("Example.com", now)
    assert made.emails == ("domain-confidentiality-authority@example.com",)
    bob = Mailbox.parse("bob@example.com")
    assert [one.certificate for one in vault.decryptors_for(bob)] == [made]
    assert (
        choose(directory.candidates_for(bob), bob, directory.anchors_for("x"), now).chosen == made
    )
    own = authority.ensure(bob, now).encryption
    assert choose(directory.candidates_for(bob), bob, directory.anchors_for("x"), now).chosen == own


def test_rsa_users_get_encipherment(directory: Directory, vault: Vault, now: datetime) -> None:
    """RSA mail could not be opened, or programs would refuse to encrypt."""
    made = LocalAuthority.create(
        directory, vault, "Example", ["example.com"], user_key="rsa2048", now=now
    )
    encryption = made.ensure(ALICE, now).encryption
    assert frozenset({"key_encipherment"}) == encryption.key_usage
    public = encryption.public_key
    assert isinstance(public, rsa.RSAPublicKey)
    wrapped = public.encrypt(b"k" * 32, padding.PKCS1v15())
    opener = next(one for one in vault.decryptors_for(ALICE) if one.certificate == encryption)
    assert opener.unwrap(wrapped, KeyTransport("rsa-pkcs1")) == b"k" * 32


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("user_key", ["p256", "rsa2048"])
def test_one_key_for_both(
    tmp_path: Path, directory: Directory, vault: Vault, now: datetime, user_key: Algorithm
) -> None:
    """A program that takes one certificate of each person could not answer encrypted."""
    made = LocalAuthority.create(
        directory, vault, "Example", ["example.com"], user_key=user_key, now=now
    )
    found = made.ensure(ALICE, now, one_key=True)
    assert found.encryption == found.signer.certificate
    assert made.ensure(ALICE, now, one_key=True) == found
    assert made.ensure(ALICE, now) == found  # as long as it lasts, whatever the rule says
    for name, one in (("root", made.root), ("issuing", made.issuing), ("user", found.encryption)):
        (tmp_path / f"{name}.pem").write_text(one.pem)
    encrypting = "any" if user_key == "p256" else "smimeencrypt"  # as above
    for purpose in "smimesign", encrypting:
        told = openssl(
            *("verify", "-x509_strict", "-attime", str(int(now.timestamp()))),
            *("-CAfile", tmp_path / "root.pem", "-untrusted", tmp_path / "issuing.pem"),
            *("-purpose", purpose, tmp_path / "user.pem"),
        )
        assert told.startswith("0 "), told
    rehearsed = made.rehearse(ALICE, now, one_key=True)
    assert rehearsed.encryption == rehearsed.signer.certificate
    assert rehearsed.encryption.key_usage == found.encryption.key_usage


def test_one_key_is_renewed_as_one(
    authority: LocalAuthority, directory: Directory, vault: Vault, now: datetime
) -> None:
    """At the first renewal there would be two, or mail to the old one be lost."""
    separate = authority.ensure(ALICE, now)
    assert authority.ensure(ALICE, now, one_key=True) == separate  # until they end
    late = now + USER_LIFE - timedelta(days=20)
    first = authority.ensure(ALICE, late, one_key=True)
    assert first.encryption == first.signer.certificate
    assert authority.current(ALICE, "both", late) == first.encryption
    later = late + USER_LIFE - timedelta(days=20)
    second = authority.ensure(ALICE, later, one_key=True)
    assert second.encryption == second.signer.certificate != first.encryption
    assert {directory.enrolled(ALICE, kind) for kind in ("sign", "encrypt")} == {second.encryption}
    held = {one.certificate for one in vault.decryptors_for(ALICE)}
    assert {separate.encryption, first.encryption, second.encryption} <= held
    authority.revoke(second.encryption, "keyCompromise", later)
    third = authority.ensure(ALICE, later, one_key=True)
    assert third.encryption == third.signer.certificate != second.encryption
    authority.revoke(third.encryption, "affiliationChanged", later)
    with pytest.raises(Refused, match="affiliationChanged"):
        authority.ensure(ALICE, later, one_key=True)


def test_one_of_several_processes_wins_for_both(
    authority: LocalAuthority, directory: Directory, now: datetime
) -> None:
    """Two processes would leave a person with one's signing and the other's decryption key."""
    won = authority.issue(ALICE, "both", now)
    lost = authority._issue(ALICE.key, ALICE, "both", None, now)
    assert lost == won
    assert directory.enrolled(ALICE, "sign") == directory.enrolled(ALICE, "encrypt") == won
