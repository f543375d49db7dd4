"""Our signatures carry what tells of their signer's revocation, and partners can use it."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.lookup.test_revocation import BOB, NO_GRACE, START, URL, World
from tests.world import World as Surroundings
from tests.world import incoming

from gatepost.cms.enclosure import Enclosed
from gatepost.config.revocation import Revocation, Staple
from gatepost.engine import evidence as keeping
from gatepost.engine import staple
from gatepost.engine.drive import drive
from gatepost.engine.journal import Journal
from gatepost.engine.standing import Standing
from gatepost.engine.staple import Stapler, stapler
from gatepost.events import Event, Name
from gatepost.flow import inbound
from gatepost.flow.fact import AnchorsFor, Answers, Fact, RevocationOf, SignerAnswer
from gatepost.flow.revocation import RevocationReport
from gatepost.flow.stage import run
from gatepost.flow.verdict import Outcome
from gatepost.lookup.revocation import Revocations
from gatepost.mail.content import Octets, join
from gatepost.pki.validate import Anchors
from gatepost.smime.report import SignatureReport, Verdict
from gatepost.smime.sign import sign


class Company(World):
    """A company with its own CA, which signs, and the partner who reads."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.theirs.add_anchors([self.ca.root], now=START)
        self.revocations = Revocations(self.fetch, self.theirs.statuses, lambda: self.now)
        self.journal = Journal(lambda: self.now)
        self.notes: list[Event] = []
        self.journal.observe(self.notes.append)
        self.plain = SignerAnswer(self.ca.ensure(BOB, START).signer)

    def stapler(self, how: Staple, *, own: bool = True) -> Stapler:
        """Of their own CA, or of one that has to be asked."""
        stands = None if own else Standing(self.revocations, Revocation())
        ca = self.ca if own else None
        made = stapler(
            how, self.theirs, ca, standing=stands, clock=lambda: self.now, journal=self.journal
        )
        assert made is not None
        return made

    async def stapled(self, how: Staple, *, own: bool = True) -> tuple[Enclosed, ...]:
        """What the second mail carries."""
        made = self.stapler(how, own=own)
        assert made.stapled(BOB, self.plain).enclosed == ()
        await made.settle()
        await self.revocations.settle()
        return made.stapled(BOB, self.plain).enclosed

    def mail(self, enclosed: tuple[Enclosed, ...]) -> bytes:
        """A signed one."""
        assert self.plain.signer is not None
        header = f"From: Bob <{BOB}>\r\nTo: a@xyz.example\r\nSubject: Hi\r\n\r\n".encode()
        header, body = sign(
            header,
            Octets(b"Hello\r\n"),
            self.plain.signer,
            now=self.now,
            names=lambda: "token",
            enclosed=enclosed,
        )
        return header + join(body)

    async def read(self, enclosed: tuple[Enclosed, ...]) -> tuple[Verdict, Outcome]:
        """What a partner says who insists on knowing, and can ask nobody."""
        mail = incoming(self.mail(enclosed), "a@xyz.example")
        context = replace(Surroundings().context(), now=self.now, asks_revocation=True)
        plain = Anchors(frozenset({self.ca.root}), frozenset({self.ca.issuing}))
        self.dead.add("/")
        alone = self.opened()

        async def gather(facts: frozenset[Fact]) -> Answers:
            answers: dict[Fact, object] = {}
            for one in facts:
                if isinstance(one, RevocationOf):
                    found = await alone.evidence(one.chain, required=True, grace=NO_GRACE)
                    answers[one] = found
                else:
                    answers[one] = plain if isinstance(one, AnchorsFor) else ()
            return answers  # type: ignore[return-value]  # each of its fact's kind

        (outcome,) = await drive(run(mail, context, inbound.STAGES), gather)
        await alone.settle()
        findings = outcome.message.findings
        (found,) = [one for one in findings if isinstance(one, SignatureReport)]
        return found.verdict, outcome


@pytest.fixture
async def company(tmp_path: Path) -> AsyncIterator[Company]:
    made = Company(tmp_path)
    yield made
    await made.revocations.close()
    made.theirs.close()
    made.ours.close()


@pytest.mark.parametrize(
    ("how", "kinds"), [("lists", ["crl", "crl"]), ("answers", ["ocsp", "crl"])]
)
@pytest.mark.parametrize("own", [True, False])
async def test_a_partner_cut_off_from_the_world(
    company: Company, how: Staple, kinds: list[str], *, own: bool
) -> None:
    """He insists on knowing, cannot ask, and would trust nobody."""
    if not own and how == "answers":
        company.dead.add("/pki/" + company.ca.issuing.fingerprint[:16])
    enclosed = await company.stapled(how, own=own)
    assert [one.kind for one in enclosed] == kinds
    assert sum(len(one.der) for one in enclosed) < staple.MAXIMUM
    assert (await company.read(()))[0] is Verdict.VALID_UNTRUSTED
    verdict, outcome = await company.read(enclosed)
    assert verdict is Verdict.VALID
    (told,) = [one for one in outcome.message.findings if isinstance(one, RevocationReport)]
    assert [one.stapled for one in told.findings] == [True, True]
    kept = keeping.testimony("Q1", Octets(b""), [outcome])
    assert kept is not None
    assert {one.der for one in kept.proofs} == {one.der for one in enclosed}


def openssl(mail: bytes, anchor: Path) -> tuple[int, bytes]:
    """Its verdict where every certificate has to be in a list, and what it says."""
    words = ("-CAfile", anchor, "-attime", str(int(START.timestamp())), "-crl_check_all")
    done = subprocess.run(
        ("openssl", "cms", "-verify", *words), input=mail, capture_output=True, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.peer("openssl")
async def test_openssl_uses_the_lists(company: Company, tmp_path: Path) -> None:
    """Another program that insists finds nothing in what we carry along."""
    anchor = tmp_path / "root.pem"
    anchor.write_text(company.ca.root.pem)
    code, said = openssl(company.mail(()), anchor)
    assert code
    assert b"unable to get certificate CRL" in said
    code, said = openssl(company.mail(await company.stapled("lists")), anchor)
    assert code == 0, said


async def test_forged_on_the_way(company: Company) -> None:
    """Whoever changes what is beside a signature would change whether it counts."""
    for one in await company.stapled("lists"):
        changed = one.der[:-1] + bytes([one.der[-1] ^ 1])
        verdict, _ = await company.read((replace(one, der=changed),))
        assert verdict is Verdict.VALID_UNTRUSTED
    verdict, _ = await company.read((Enclosed("crl", b"\x30\x00"), Enclosed("ocsp", b"\x30\x00")))
    assert verdict is Verdict.VALID_UNTRUSTED


async def test_no_mail_waits_and_nothing_is_made_twice(company: Company) -> None:
    """A burst of mail would sign a list for each."""
    made = company.stapler("answers")
    for _ in range(3):
        assert made.stapled(BOB, company.plain).enclosed == ()
    assert len(made._making) == 1
    await made.settle()
    first = made.stapled(BOB, company.plain).enclosed
    assert first
    assert made.stapled(BOB, company.plain).enclosed is first
    assert not made._making
    assert made.stapled(BOB, SignerAnswer(None, "no key")).enclosed == ()


async def test_it_is_made_anew_before_it_ends(company: Company) -> None:
    """Mail would carry what counts no more, and that is worse than nothing."""
    made = company.stapler("lists")
    made.stapled(BOB, company.plain)
    await made.settle()
    first = made.stapled(BOB, company.plain).enclosed
    company.now += timedelta(days=1, minutes=1)
    assert made.stapled(BOB, company.plain).enclosed == first  # it counts; the next is made
    await made.settle()
    second = made.stapled(BOB, company.plain).enclosed
    assert second[0] != first[0]
    company.now += timedelta(days=400)
    assert made.stapled(BOB, company.plain).enclosed == ()
    await made.close()


async def test_a_revoked_signer_carries_nothing(company: Company) -> None:
    """We would send round what says that our own signature is worth nothing."""
    assert company.plain.signer is not None
    company.ca.revoke(company.plain.signer.certificate, "keyCompromise", START)
    assert await company.stapled("lists") == ()
    assert await company.stapled("answers") == ()


async def test_a_long_list_stays_at_home(company: Company) -> None:
    """Every mail would grow by the list of all who ever left."""
    many = [company.ca.issue(BOB, "encrypt", START) for _ in range(3)]
    before = {len(one.der) for one in await company.stapled("lists")}
    for one in many:
        company.ca.revoke(one, "superseded", START)
    found = await company.stapled("lists")
    assert max(len(one.der) for one in found) > max(before)
    short = min(len(one.der) for one in found)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(staple, "MAXIMUM", short)
        assert [len(one.der) for one in await company.stapled("lists")] == [short]


async def test_an_authority_that_is_away(company: Company) -> None:
    """Signed mail would stop, or every mail ask again."""
    company.dead.add("/")
    assert await company.stapled("lists", own=False) == ()
    assert len(company.asked) > 1
    made = company.stapler("lists", own=False)
    made.stapled(BOB, company.plain)
    await made.settle()
    asked = len(company.asked)
    assert made.stapled(BOB, company.plain).enclosed == ()
    assert not made._making
    assert len(company.asked) == asked
    assert all(URL not in one for one in company.asked)


async def test_what_cannot_be_made_is_noted(company: Company) -> None:
    """An administrator who wants it would wonder for weeks why partners see nothing."""
    made = company.stapler("lists")
    company.theirs.close()
    made.stapled(BOB, company.plain)
    await made.settle()
    assert made.stapled(BOB, company.plain).enclosed == ()
    (noted,) = company.notes
    assert noted.name is Name.SERVICE_ERROR
    assert noted.fields["service"] == "staple"


def test_off_by_default() -> None:
    """Neither gpgsm nor Thunderbird reads a signature beside which an OCSP answer stands."""
    assert Revocation().staple == "off"
