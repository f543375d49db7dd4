"""What our authority says of its own certificates, heard by OpenSSL and by our own readers."""

import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from gatepost.certificate import Certificate
from gatepost.cms import der
from gatepost.engine.journal import Journal
from gatepost.engine.public import authority_routes
from gatepost.enrol.local import LocalAuthority
from gatepost.enrol.pointer import Pointers, certificate_path, crl_path
from gatepost.enrol.status import LIST_AGE, LIST_LIFE
from gatepost.errors import Refused
from gatepost.mail.address import Mailbox
from gatepost.net.http import HttpAnswer, HttpRequest, HttpServer
from gatepost.pki.crl import Crl
from gatepost.pki.evidence import Evidence
from gatepost.pki.ocsp import Answer
from gatepost.pki.validate import Anchors, validate
from gatepost.store.directory import Directory
from gatepost.vault.keys import Vault

ALICE = Mailbox.parse("alice@example.com")
BOB = Mailbox.parse("bob@example.com")


@pytest.fixture
def present() -> datetime:
    """OpenSSL compares answers with the true time."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def company(directory: Directory, vault: Vault, present: datetime) -> LocalAuthority:
    pointers = Pointers("http://pki.example.com")
    return LocalAuthority.create(
        directory,
        vault,
        "Example GmbH",
        ["example.com"],
        user_key="p256",
        pointers=pointers,
        now=present,
    )


def asked(company: LocalAuthority, certificate: Certificate, nonce: bytes = b"") -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        certificate.x509, company.issuing.x509, hashes.SHA256()
    )
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def answered(company: LocalAuthority, octets: bytes, present: datetime) -> HttpAnswer:
    routes = authority_routes(company, lambda: present, Journal(lambda: present))
    return routes["/ocsp"](HttpRequest("POST", "/ocsp", "application/ocsp-request", octets))


def anchored(company: LocalAuthority, *lists: Crl, answers: tuple[Answer, ...] = ()) -> Anchors:
    evidence = Evidence(lists=lists, answers=answers)
    return Anchors(frozenset({company.root}), frozenset({company.issuing}), evidence)


def listed(company: LocalAuthority, present: datetime) -> tuple[Crl, Crl]:
    made = [company.revocations(one, present) for one in (company.issuing, company.root)]
    first, second = (Crl.from_der(one.der) for one in made if one is not None)
    return first, second


def test_our_own_validator_hears_of_a_revocation_at_once(
    company: LocalAuthority, present: datetime
) -> None:
    """A stolen key would go on signing until the next daily list."""
    taken = company.issue(ALICE, "sign", present)
    good = company.issue(BOB, "sign", present)
    before = listed(company, present)
    assert validate(taken, (), anchored(company, *before), moment=present).trusted
    assert company.revoke(taken, "keyCompromise", present)
    assert not company.revoke(taken, "superseded", present)
    after = listed(company, present)
    assert (after[0].number or 0) > (before[0].number or 0)
    report = validate(taken, (), anchored(company, *after), moment=present)
    assert "was revoked" in report.reasons[0]
    assert "keyCompromise" in report.reasons[0]
    assert validate(good, (), anchored(company, *after), moment=present).trusted


def test_lists_are_renewed_daily_and_their_numbers_only_grow(
    company: LocalAuthority, present: datetime
) -> None:
    """A relying party refuses a list with an old number, or takes no mail when one has ended."""
    numbers = []
    for days in range(4):
        found = company.revocations(company.issuing, present + days * LIST_AGE)
        again = company.revocations(company.issuing, present + days * LIST_AGE)
        assert found is not None
        assert found == again
        assert found.next_update == found.this_update + LIST_LIFE
        numbers.append(found.number)
    assert numbers == [1, 2, 3, 4]


def test_what_was_revoked_signs_no_more_but_decrypts_for_ever(
    company: LocalAuthority, vault: Vault, present: datetime
) -> None:
    """Old mail would be lost, or new mail signed with a stolen key."""
    first = company.ensure(ALICE, present)
    for one in (first.signer.certificate, first.encryption):
        company.revoke(one, "keyCompromise", present)
    second = company.ensure(ALICE, present)
    assert second.signer.certificate != first.signer.certificate
    assert second.encryption != first.encryption
    held = {one.certificate for one in vault.decryptors_for(ALICE)}
    assert {first.encryption, second.encryption} <= held


def test_who_left_gets_no_new_certificate_by_writing(
    company: LocalAuthority, present: datetime
) -> None:
    """Somebody dismissed would be certified again by his next mail."""
    first = company.ensure(ALICE, present)
    company.revoke(first.signer.certificate, "affiliationChanged", present)
    with pytest.raises(Refused, match="affiliationChanged"):
        company.ensure(ALICE, present)
    company.issue(ALICE, "sign", present)  # an administrator says so
    company.ensure(ALICE, present)


def test_a_suspended_certificate_comes_back(company: LocalAuthority, present: datetime) -> None:
    """RFC 5280 section 5.3.1: only certificateHold can be undone."""
    taken = company.issue(ALICE, "sign", present)
    assert company.revoke(taken, "certificateHold", present)
    assert not validate(
        taken, (), anchored(company, *listed(company, present)), moment=present
    ).trusted
    assert company.release(taken, present)
    assert validate(taken, (), anchored(company, *listed(company, present)), moment=present).trusted
    company.revoke(taken, "keyCompromise", present)
    assert not company.release(taken, present)


def test_the_responder_says_good_revoked_and_unknown(
    company: LocalAuthority, present: datetime
) -> None:
    """Partners who ask would be told something that is not so."""
    good, taken = (company.issue(who, "sign", present) for who in (ALICE, BOB))
    stranger = company.issue(ALICE, "encrypt", present)
    company.revoke(taken, "superseded", present)
    company.directory.remove_certificate(stranger, with_key=True)
    for one, status in ((good, "good"), (taken, "revoked"), (stranger, "unknown")):
        answer = Answer.from_der(answered(company, asked(company, one), present).body)
        [single] = answer.singles
        assert single.status == status
        found = validate(one, (), anchored(company, answers=(answer,)), moment=present)
        revoked_here = any("was revoked" in why for why in found.reasons)
        assert revoked_here is (status == "revoked")


def test_the_nonce_comes_back_and_rubbish_gets_an_error(
    company: LocalAuthority, present: datetime
) -> None:
    """RFC 9654: who sends one takes no answer without it."""
    good = company.issue(ALICE, "sign", present)
    answer = answered(company, asked(company, good, b"n" * 32), present)
    said = ocsp.load_der_ocsp_response(answer.body)
    assert said.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 32
    for octets, status in (
        (b"", ocsp.OCSPResponseStatus.MALFORMED_REQUEST),
        (bytes(100), ocsp.OCSPResponseStatus.MALFORMED_REQUEST),
    ):
        refusal = ocsp.load_der_ocsp_response(answered(company, octets, present).body)
        assert refusal.response_status is status
    other = ocsp.OCSPRequestBuilder().add_certificate(good.x509, good.x509, hashes.SHA1())
    octets = other.build().public_bytes(Encoding.DER)
    refusal = ocsp.load_der_ocsp_response(answered(company, octets, present).body)
    assert refusal.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


def question(digest: str, count: int = 1) -> bytes:
    """An OCSPRequest (RFC 6960 section 4.1.1) that no library would make."""
    name = der.octet_string(bytes(20))
    algorithm = der.sequence(der.oid(digest), der.NULL)
    one = der.sequence(der.sequence(algorithm, name, name, der.integer(5)))
    return der.sequence(der.sequence(der.sequence(*[one] * count)))


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (question("1.2.3.4"), ocsp.OCSPResponseStatus.UNAUTHORIZED),
        (question("1.3.14.3.2.26", 2), ocsp.OCSPResponseStatus.MALFORMED_REQUEST),
    ],
)
def test_strange_questions_are_answered(
    company: LocalAuthority, present: datetime, octets: bytes, status: ocsp.OCSPResponseStatus
) -> None:
    """Whoever asks hears a web server's error, and asks again and again."""
    refusal = ocsp.load_der_ocsp_response(answered(company, octets, present).body)
    assert refusal.response_status is status


def run(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    return f"{done.returncode} {done.stdout}{done.stderr}"


@pytest.fixture
async def server(company: LocalAuthority, present: datetime) -> AsyncIterator[HttpServer]:
    routes = authority_routes(company, lambda: present, Journal(lambda: present))
    made = HttpServer("127.0.0.1", 0, routes)
    await made.start()
    yield made
    await made.stop()


@pytest.mark.peer("openssl")
async def test_openssl_hears_the_same(
    company: LocalAuthority, server: HttpServer, tmp_path: Path, present: datetime
) -> None:
    """Whoever checks with another program would refuse our people's mail, or trust a stolen key."""
    import asyncio  # noqa: PLC0415

    import httpx2  # noqa: PLC0415

    good, taken = (company.issue(who, "sign", present) for who in (ALICE, BOB))
    company.revoke(taken, "keyCompromise", present - timedelta(minutes=1))
    url = f"http://127.0.0.1:{server.port}"
    async with httpx2.AsyncClient(trust_env=False) as client:
        pages = [
            await client.get(url + path)
            for path in (
                crl_path(company.issuing),
                crl_path(company.root),
                certificate_path(company.issuing),
            )
        ]
    assert [one.status_code for one in pages] == [200] * 3
    assert pages[2].content == company.issuing.der
    for name, one in (
        ("good", good),
        ("taken", taken),
        ("issuing", company.issuing),
        ("root", company.root),
    ):
        (tmp_path / f"{name}.pem").write_text(one.pem)
    lists = tmp_path / "lists.pem"
    lists.write_bytes(
        b"".join(
            x509.load_der_x509_crl(one.content).public_bytes(Encoding.PEM) for one in pages[:2]
        )
    )
    (tmp_path / "list.der").write_bytes(pages[0].content)
    root, issuing = tmp_path / "root.pem", tmp_path / "issuing.pem"
    told = await asyncio.to_thread(
        run, "crl", "-inform", "DER", "-in", tmp_path / "list.der", "-CAfile", issuing, "-noout",
        "-text",
    )  # fmt: skip
    assert "verify OK" in told
    assert "Key Compromise" in told
    for name, expected in (("good", "OK"), ("taken", "certificate revoked")):
        told = await asyncio.to_thread(
            run, "verify", "-x509_strict", "-crl_check_all", "-CRLfile", lists, "-CAfile", root,
            "-untrusted", issuing, tmp_path / f"{name}.pem",
        )  # fmt: skip
        assert expected in told
        for more in ((), ("-no_nonce",)):
            told = await asyncio.to_thread(
                run, "ocsp", "-issuer", issuing, "-cert", tmp_path / f"{name}.pem", "-url",
                f"{url}/ocsp", "-CAfile", root, "-verify_other", issuing, *more,
            )  # fmt: skip
            assert "Response verify OK" in told
            assert ("good" if name == "good" else "revoked") in told.partition(".pem: ")[2]


async def test_the_server_answers_get_and_refuses_what_is_too_much(
    company: LocalAuthority, server: HttpServer, present: datetime
) -> None:
    """A stranger could fill the memory, or a proxy that asks by GET would hear nothing."""
    import base64  # noqa: PLC0415
    import urllib.parse  # noqa: PLC0415

    import httpx2  # noqa: PLC0415

    good = company.issue(ALICE, "sign", present)
    text = urllib.parse.quote(base64.b64encode(asked(company, good)), safe="")
    url = f"http://127.0.0.1:{server.port}"
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{url}/ocsp/{text}")
        assert Answer.from_der(answer.content).singles[0].status == "good"
        codes = [
            (await client.get(f"{url}/ocsp/%%%")).status_code,
            (await client.get(f"{url}/etc/passwd")).status_code,
            (await client.get(f"{url}/pki/../x")).status_code,
            (await client.post(f"{url}/ocsp", content=bytes(20000))).status_code,
            (await client.post(f"{url}/ocsp", content=b"x")).status_code,
            (await client.put(f"{url}/ocsp", content=b"x")).status_code,
            (await client.get(f"{url}/x", headers={"A": "x" * 9000})).status_code,
        ]
    assert codes == [400, 404, 404, 413, 415, 405, 413]
