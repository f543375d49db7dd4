"""A signer who brings no issuers: asked about once, verified with what is found, and learned."""

from dataclasses import replace

import pytest
from tests.pki_builder import company, company_root, user
from tests.world import World, incoming, only

from gatepost.certificate import Certificate
from gatepost.flow import harvest, peel
from gatepost.flow.fact import AnchorsFor, Answer, Fact, IssuersOf
from gatepost.flow.harvest import Learned, learned
from gatepost.mail.content import Octets, join
from gatepost.mail.message import Message
from gatepost.pki.validate import Anchors
from gatepost.smime.report import SignatureReport, Verdict
from gatepost.smime.sign import sign

BOB = "bob@partner.example"
ANCHORS = Anchors(frozenset({company_root().certificate}))
STAGES = (peel, harvest)


def mail(author: str = BOB, *, changed: bool = False) -> Message:
    """Signed by Bob, without the certificate above his."""
    signer = replace(user(BOB, "p256").signer, chain=())
    header = f"From: {author}\r\nTo: a@xyz.example\r\nSubject: Hi\r\n\r\n".encode()
    header, body = sign(header, Octets(b"Hello\r\n"), signer, now=World().now, names=lambda: "t")
    content = header + join(body)
    return incoming(content.replace(b"Hello", b"Hullo") if changed else content, "a@xyz.example")


def seen(
    message: Message, *issuers: Certificate, domain: str = "partner.example"
) -> tuple[Message, World]:
    """The message after the stages, in a world that knows these issuers of Bob's."""
    certificate = user(BOB, "p256").certificate
    known: dict[Fact, Answer] = {
        AnchorsFor(domain): ANCHORS,
        IssuersOf(certificate, (certificate,), domain): issuers,
    }
    world = World(facts=known)
    return only(world.drive(message, STAGES)).message, world


def verdict(message: Message) -> Verdict:
    return only([one for one in message.findings if isinstance(one, SignatureReport)]).verdict


def test_found_and_learned() -> None:
    """Bob's mail would be told apart from a forgery by nothing, and never be answered encrypted."""
    message, world = seen(mail(), company().certificate)
    assert verdict(message) is Verdict.VALID
    found: Learned = only(learned(message.findings))
    assert found.certificates == (user(BOB, "p256").certificate,)
    assert company().certificate in found.issuers
    assert sum(isinstance(one, IssuersOf) for one in world.asked) == 1


@pytest.mark.parametrize("answer", [(), (user("x@y.example", "p256").certificate,)])
def test_not_found(answer: tuple[Certificate, ...]) -> None:
    """Nobody's word would do, or the question be asked for ever."""
    message, world = seen(mail(), *answer)
    assert verdict(message) is Verdict.VALID_UNTRUSTED
    assert learned(message.findings) == ()
    assert sum(isinstance(one, IssuersOf) for one in world.asked) == 1


@pytest.mark.parametrize(
    "message", [mail("eve@partner.example"), mail(changed=True)], ids=["another's", "broken"]
)
def test_not_asked(message: Message) -> None:
    """Any mail could have us visit any place."""
    _, world = seen(message, company().certificate)
    assert not any(isinstance(one, IssuersOf) for one in world.asked)


def test_nothing_lacks() -> None:
    """Whoever is simply not trusted would be asked about at each of his mails."""
    _, world = seen(mail(), domain="other.example")
    assert sum(isinstance(one, IssuersOf) for one in world.asked) == 1  # the domain's anchors: none
    signer = user(BOB, "p256").signer
    header = f"From: {BOB}\r\nTo: a@xyz.example\r\n\r\n".encode()
    brought = replace(signer, chain=(company().certificate, company_root().certificate))
    header, body = sign(header, Octets(b"x\r\n"), brought, now=World().now, names=lambda: "t")
    whole = incoming(header + join(body), "a@xyz.example")
    world = World()
    world.drive(whole, STAGES)
    assert not any(isinstance(one, IssuersOf) for one in world.asked)
