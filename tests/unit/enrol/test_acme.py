"""Orders at a real ACME server, acme2certifier: what it wants, what it refuses, what we keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from tests.peers.acme_ca import HMAC_KEY, KID, ROBOT, AcmeCa
from tests.unit.vault.door import process

from gatepost.enrol.acme import Acme, Service
from gatepost.enrol.acme_account import Accounts
from gatepost.enrol.expectation import Expectations
from gatepost.enrol.source import Advice, Issued, Pending, Wanted
from gatepost.errors import ConfigError, GatepostError, Refused, Unavailable, Unsupported
from gatepost.flow import challenge
from gatepost.flow.challenge import Challenge
from gatepost.mail.address import Mailbox
from gatepost.mime.entity import split_header
from gatepost.store.directory import Directory
from gatepost.vault.client import Remote
from gatepost.vault.held import HeldEc
from gatepost.vault.keys import Vault

TERMS = "https://ca.example/terms"
ANYBODY = ("bert@example.com", "carl@example.com", "dora@example.com", "emil@example.com")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmeCa]:
    """Started once; every test orders for another person."""
    with AcmeCa(tmp_path_factory.mktemp("acme") / "ca") as running:
        yield running


@pytest.fixture
def now() -> datetime:
    """The server's clock is the machine's."""
    return datetime.now(UTC)


Source = Callable[..., Acme]


@pytest.fixture
def source(authority: AcmeCa, directory: Directory, vault: Vault) -> Source:
    """A source with other settings than the right ones."""

    def made(**more: object) -> Acme:
        service = Service(
            authority.url, "pki@example.com", TERMS, KID, lambda: HMAC_KEY, authority.anchors
        )
        return Acme(
            "ca",
            replace(service, **more),  # type: ignore[arg-type]  # fields by name
            Accounts(directory, vault),
            Expectations(directory.register),
            sent=timedelta(0),
        )

    return made


KEY = rsa.generate_private_key(65537, 2048)


def wanted(address: str) -> Wanted:
    """A certificate for somebody."""
    name = x509.SubjectAlternativeName([x509.RFC822Name(address)])
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = request.add_extension(name, critical=False).sign(KEY, hashes.SHA256())
    return Wanted(address, "both", signed.public_bytes(Encoding.DER))


async def refusal(source: Acme, kind: type[GatepostError], now: datetime) -> str:
    """What an order is refused with."""
    with pytest.raises(kind) as error:
        await source.request(wanted("nobody@example.com"), now)
    nobody = Mailbox.parse("nobody@example.com")
    assert source.expectations.begin(nobody, "next", "ca", now)  # nothing is in its way
    source.expectations.end(nobody, "next")
    assert "\n" not in str(error.value)
    return str(error.value)


async def pending(source: Acme, asked: Wanted, now: datetime) -> Pending:
    """An order that waits for its mail."""
    found = await source.request(asked, now)
    assert isinstance(found, Pending)
    assert found.waits_for == f"the challenge mail of {ROBOT} to {asked.address}"
    return found


def answered(source: Acme, authority: AcmeCa, asked: Wanted, now: datetime, part: str = "") -> str:
    """Answer the newest challenge as the flow does; with another token if there is one."""
    header = split_header(authority.post.challenge(len(authority.post.sent)))[0]
    mailbox = Mailbox.parse(asked.address)
    found = source.expectations.of(mailbox, now)
    assert found is not None
    known = Challenge(
        mailbox, Mailbox.parse(found.sender), found.token, found.thumbprint, "ca", found.ticket
    )
    assert challenge.fault(header, (), known) == ""
    part = part or challenge.token(header) or ""
    made = challenge.response(part, header, known, message_id="<a@example.com>", now=now)
    assert source.expectations.claim(mailbox, found.ticket, made.mark, now)
    authority.post.inbox.append(made.content)
    return part


async def test_an_order_is_fulfilled(source: Source, authority: AcmeCa, now: datetime) -> None:
    """No company gets a certificate."""
    asked, ours = wanted(ANYBODY[0]), source()
    found: Pending | Issued = await pending(ours, asked, now)
    assert isinstance(found, Pending)
    assert "secret" not in found.state
    still = await ours.collect(asked, found.state, now)
    assert still == found  # nothing came yet, and nobody was asked
    answered(ours, authority, asked, now)
    for _ in range(5):
        if isinstance(found, Issued):
            break
        found = await ours.collect(asked, found.state, now)
    assert isinstance(found, Issued)
    assert found.chain[0].emails == (asked.address,)
    assert [one.name for one in found.chain[1:]] == ["Mail CA"]
    assert ours.expectations.of(Mailbox.parse(asked.address), now) is None
    await renewed(ours, replace(asked, replacing=found.chain[0]), now)


async def renewed(source: Acme, asked: Wanted, now: datetime) -> None:
    """RFC 9773: it says when to renew what it issued, knows its name, and takes the order."""
    old = asked.replacing
    assert old is not None
    advice = (await source.advice([old], now))[old]
    assert isinstance(advice, Advice)
    assert old.not_before < advice.start < advice.end <= old.not_after
    assert advice.again == timedelta(days=1)
    await pending(source, asked, now)


async def test_is_there(source: Source, authority: AcmeCa, now: datetime) -> None:
    """An administrator learns from the first mail that waits what is wrong with the settings."""
    ours, host = source(), f"localhost:{authority.port}"
    made = f"{host} speaks ACME, and says when to renew; our account is made with an order"
    assert await ours.answers(now) == made
    assert not ours.accounts.is_known("ca", authority.url)  # nothing was made for a question
    with pytest.raises(Refused, match=r"has terms of service: read https://ca\.example/terms"):
        await source(terms="").answers(now)
    with pytest.raises(Unavailable, match="its TLS certificate is not believed"):
        await source(anchors=None).answers(now)
    assert await ours.identities(now) == ()


async def test_a_forged_token_gets_nothing(
    source: Source, authority: AcmeCa, now: datetime
) -> None:
    """A forged challenge is answered, and the failure is told to nobody."""
    asked, ours = wanted(ANYBODY[1]), source()
    found = await pending(ours, asked, now)
    answered(ours, authority, asked, now, part="F" * 32)
    told = await ours.collect(asked, found.state, now)
    assert isinstance(told, Pending)
    lost = await ours.collect(asked, told.state, now)
    assert isinstance(lost, Pending)
    assert "another order to be placed: localhost:" in lost.waits_for
    assert " gave the order up: " in lost.waits_for
    anew = await ours.collect(asked, lost.state, now + lost.again)
    assert isinstance(anew, Pending)
    assert anew.waits_for == found.waits_for


async def test_one_order_at_a_time(source: Source, now: datetime) -> None:
    """One mail is taken for the answer to two orders."""
    asked, ours = wanted(ANYBODY[2]), source()
    await pending(ours, asked, now)
    found = await ours.request(asked, now)
    assert isinstance(found, Pending)
    assert found.waits_for == f"another order for {asked.address} to end"
    again = await ours.collect(asked, found.state, now)
    assert again == found


async def test_an_order_nobody_answers_is_placed_anew(source: Source, now: datetime) -> None:
    """A challenge lost on the way keeps Alice from ever getting a certificate."""
    asked, ours = wanted(ANYBODY[3]), source()
    first = await pending(ours, asked, now)
    found = await ours.collect(asked, first.state, now + timedelta(days=2))
    assert isinstance(found, Pending)
    assert "no challenge mail" in found.waits_for
    found = await ours.collect(asked, found.state, now)
    assert isinstance(found, Pending)
    assert found.waits_for == first.waits_for
    assert found.state != first.state


async def test_the_account_is_kept_and_its_key_sealed(
    source: Source, directory: Directory, vault: Vault, now: datetime
) -> None:
    """An account is made for every order, or its key stands on the disk."""
    ours = source()
    for address in ("fritz@example.com", "gerd@example.com"):
        await pending(ours, wanted(address), now)
    known = directory.register.named("acme.account.")
    assert len(known) == 1
    account = ours.accounts.of("ca", ours.service.url, now)
    assert account.url.startswith("https://localhost:")
    secret = account.key.private_numbers().private_value.to_bytes(32, "big")
    for path in directory.path.parent.iterdir():
        assert secret not in path.read_bytes()
    ours.accounts.forget("ca")  # a restored database, say: the authority knows our key
    await pending(ours, wanted("hans@example.com"), now)
    assert ours.accounts.of("ca", ours.service.url, now).url == account.url


async def test_who_we_are_must_be_right(source: Source, now: datetime) -> None:
    """A wrong key of the account binding, or none, is told in a riddle."""
    said = await refusal(source(kid="", hmac_key=str), Refused, now)
    assert "makes accounts for its customers only: set eab_kid" in said
    said = await refusal(source(hmac_key=lambda: HMAC_KEY[::-1]), Refused, now)
    assert "invalid eab credentials (unauthorized)" in said
    said = await refusal(source(kid="somebody"), Refused, now)
    assert "(unauthorized)" in said


async def test_a_lost_secret_can_be_found_again(source: Source, now: datetime) -> None:
    """A file that cannot be read for a moment ends every order."""

    def lost() -> str:
        raise ConfigError("password file eab cannot be read: no such file")

    assert "cannot be read" in await refusal(source(hmac_key=lost), Unavailable, now)


async def test_terms_are_agreed_to_by_their_url(source: Source, now: datetime) -> None:
    """The gateway agrees to what nobody has read."""
    for terms in ("", "https://ca.example/older-terms"):
        said = await refusal(source(terms=terms), Refused, now)
        assert f"read {TERMS} and, if you agree, write this URL into the setting terms" in said


async def test_an_impostor_is_not_believed(
    source: Source, authority: AcmeCa, now: datetime
) -> None:
    """Whoever is in the way learns who orders certificates, and gives others."""
    said = await refusal(source(anchors=None), Unavailable, now)
    assert "its TLS certificate is not believed" in said
    said = await refusal(source(anchors=authority.root), Unavailable, now)
    assert "its TLS certificate is not believed" in said


async def test_a_server_that_is_away(source: Source, now: datetime) -> None:
    """An outage is taken for a refusal, or told as a traceback."""
    said = await refusal(source(url="https://localhost:1/directory"), Unavailable, now)
    assert said == "localhost:1: Connection refused"


async def test_an_address_that_is_refused(source: Source, now: datetime) -> None:
    """The authority's reason is lost."""
    ours = source()
    with pytest.raises(Refused, match=r"alice@us\.invalid not allowed \(rejectedIdentifier\)"):
        await ours.request(wanted("alice@us.invalid"), now)


@pytest.mark.parametrize("address", ["@example.com", "jörg@example.com"])
async def test_only_mailboxes_in_ascii(source: Source, now: datetime, address: str) -> None:
    """An order that can never be fulfilled waits for ever."""
    with pytest.raises(Unsupported):
        await source().request(Wanted(address, "both", b""), now)


async def test_a_key_that_another_process_holds(
    source: Source, directory: Directory, now: datetime
) -> None:
    """Where keys are kept in a process of their own, no account can be used."""
    ours = source()
    with process() as (_, client):
        away = replace(ours, accounts=Accounts(directory, Vault(directory, Remote(client))))
        await pending(away, wanted("inge@example.com"), now)
        assert isinstance(away.accounts.of("ca", ours.service.url, now).key, HeldEc)
        await pending(away, wanted("jens@example.com"), now)
