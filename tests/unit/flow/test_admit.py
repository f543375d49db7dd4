"""What is decided while the envelope is spoken."""

import pytest
from tests.world import World, choice

from gatepost.flow import admit
from gatepost.flow.admit import Gate
from gatepost.flow.fact import CertificateFor
from gatepost.mail.address import Mailbox
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Direction
from gatepost.mail.reply import Reply

OUT, IN = Direction.OUTBOUND, Direction.INBOUND
ALICE, BOB = Mailbox.parse("alice@xyz.example"), Mailbox.parse("Bob@partner.example")
ANNA, EVE = Mailbox.parse("anna@XYZ.example"), Mailbox.parse("eve@evil.example")
DOMAINS = frozenset({"xyz.example"})
MANDATORY = '[[rule]]\nname = "Partners"\nto = "partner.example"\nencrypt = "mandatory"\n'


def gate(only: Direction | None, *, trusted: bool = True, forwards: bool = False) -> Gate:
    """A gate of our company."""
    return Gate(only, trusted, DOMAINS, forwards)


def admitted(
    at: Gate, sender: Mailbox | None, recipient: Mailbox, world: World | None = None
) -> Reply:
    """The reply to RCPT, all questions answered."""
    world = world or World()
    context = world.context()
    questions = admit.asks(at, sender, recipient, context)
    known = context.knowing({one: world.answer(one) for one in questions})
    return admit.admit_recipient(at, sender, recipient, known)


@pytest.mark.parametrize(
    ("at", "sender", "recipient", "code"),
    [
        (gate(OUT), ALICE, BOB, 250),
        (gate(OUT), None, BOB, 250),
        (gate(OUT), EVE, BOB, 550),
        (gate(OUT, forwards=True), EVE, BOB, 250),
        (gate(OUT, trusted=False), ALICE, BOB, 550),
        (gate(OUT, trusted=False), ALICE, ANNA, 550),
        (gate(IN), EVE, ANNA, 250),
        (gate(IN, trusted=False), EVE, ANNA, 250),
        (gate(IN), ALICE, BOB, 550),
        (gate(IN, trusted=False), ALICE, BOB, 550),
        (gate(None), ALICE, BOB, 250),
        (gate(None), EVE, ANNA, 250),
        (gate(None), EVE, BOB, 550),
        (gate(None, trusted=False), EVE, ANNA, 250),
        (gate(None, trusted=False), ALICE, BOB, 550),
        (gate(None, trusted=False), None, BOB, 550),
    ],
)
def test_never_an_open_relay(
    at: Gate, sender: Mailbox | None, recipient: Mailbox, code: int
) -> None:
    """Strangers send their mail through this gateway, or our own people cannot."""
    assert admitted(at, sender, recipient).code == code


def test_mail_is_refused_at_once_where_nothing_can_follow() -> None:
    """A stranger is heard out before he is refused."""
    assert admit.admit_sender(gate(OUT), ALICE).code == 250
    assert admit.admit_sender(gate(OUT), None).code == 250
    assert admit.admit_sender(gate(OUT), EVE).code == 550
    assert admit.admit_sender(gate(OUT, trusted=False), ALICE).code == 550
    assert admit.admit_sender(gate(IN), EVE).code == 250
    assert admit.admit_sender(gate(None), EVE).code == 250


def test_a_hopeless_recipient_is_refused_by_name() -> None:
    """The author learns hours later, or never, that Bob got nothing."""
    reply = admitted(gate(OUT), ALICE, BOB, World.under(MANDATORY))
    assert str(reply) == (
        '550 5.7.1 Bob@partner.example: encryption is mandatory (rule "Partners"), '
        "but no certificate is known"
    )
    known = World.under(MANDATORY, {CertificateFor(BOB): choice("bob@partner.example")})
    assert admitted(gate(OUT), ALICE, BOB, known).code == 250


@pytest.mark.parametrize(
    "policy",
    [
        "",
        MANDATORY + 'refuse_at = "data"\n',
        MANDATORY + 'unencryptable = "verified-tls"\n',
        '[[rule]]\nname = "a"\nfrom = "ceo@xyz.example"\nencrypt = "mandatory"\n',
    ],
)
def test_a_certificate_is_only_asked_for_where_it_decides(policy: str) -> None:
    """Every RCPT costs a look-up, or refuses what the content might have allowed."""
    context = World.under(policy).context()
    assert admit.asks(gate(OUT), ALICE, BOB, context) == frozenset()
    assert admitted(gate(OUT), ALICE, BOB, World.under(policy)).code == 250


def test_strangers_cannot_make_us_look_up() -> None:
    """Anybody on the Internet can probe whose certificates we have."""
    context = World.under(MANDATORY).context()
    assert admit.asks(gate(None, trusted=False), EVE, BOB, context) == frozenset()
    assert admit.asks(gate(IN), EVE, ANNA, context) == frozenset()


def test_a_listener_for_both_tells_directions_apart_by_recipient() -> None:
    """Mail for our own people is encrypted to them instead of decrypted for them."""
    both = gate(None)
    assert admit.direction(both, ANNA) is IN
    assert admit.direction(both, BOB) is OUT
    assert admit.direction(gate(OUT), ANNA) is OUT
    every = tuple(Recipient(one) for one in (BOB, ANNA, EVE))
    envelope = Envelope(ALICE, every, envid="QQ314159")
    parts = dict(admit.divided(both, envelope))
    assert parts[OUT].recipients == (every[0], every[2])
    assert parts[IN].recipients == (every[1],)
    assert parts[IN].envid == "QQ314159"


def test_replies_stay_short_and_ascii() -> None:
    """A client chokes on the reply that was to explain things to its user."""
    odd = Mailbox.parse("b" * 60 + "ü@partner.example")
    rule = MANDATORY.replace("Partners", "Vertraulich für " + "x" * 180)
    reply = admitted(gate(OUT), ALICE, odd, World.under(rule))
    assert reply.encode().isascii()
    assert max(map(len, reply.encode().splitlines(keepends=True))) <= 512
