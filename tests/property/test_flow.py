"""What holds for every mail under every policy, whatever is known about anybody."""

from collections import Counter
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policies import MAILBOXES, USUAL
from tests.world import (
    ANCHORS,
    MODERN,
    World,
    announcing,
    arriving,
    choice,
    facts,
    octets,
    outgoing,
    person,
    recipients,
)

from gatepost.cms import enveloped
from gatepost.flow import inbound, outbound
from gatepost.flow.decision import Decision, decisions
from gatepost.flow.explain import render
from gatepost.flow.fact import (
    Answer,
    CertificateFor,
    CorrespondentFor,
    Fact,
    SignerAnswer,
    SignerFor,
)
from gatepost.flow.nature import Nature, nature
from gatepost.flow.verdict import Continue, Outcome
from gatepost.mail.address import Mailbox
from gatepost.mail.content import join
from gatepost.mail.message import Message
from gatepost.mime import headers
from gatepost.policy.evaluate import evaluate
from gatepost.policy.rules import Policy
from gatepost.policy.treatment import Encrypt, Unencryptable
from gatepost.smime import layers

MARKER = b"the secret figures"
ADDRESSES = MAILBOXES.map(str)
CHOICES = st.sampled_from(["none", "expired", "old", "modern"])


@st.composite
def worlds(draw: st.DrawFn) -> Mapping[Fact, Answer]:
    """What is known about everybody's certificates and keys."""
    known: dict[Fact, Answer] = {}
    for address in sorted(draw(st.sets(ADDRESSES))):
        answers = {
            "none": choice(address, rejected="nothing is known"),
            "expired": choice(address, rejected="expired"),
            "old": choice(address),
            "modern": choice(address),
        }
        drawn = draw(CHOICES)
        known[CertificateFor(Mailbox.parse(address))] = answers[drawn]
        if drawn == "modern":
            known[CorrespondentFor(Mailbox.parse(address))] = announcing(*MODERN)
        if draw(st.booleans()):
            known[SignerFor(Mailbox.parse(address))] = SignerAnswer(person(address).signer)
    return known


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Mail to some people, some of whom the header does not name."""
    everybody = draw(st.lists(ADDRESSES, min_size=1, max_size=5, unique=True))
    named = [one for one in everybody if draw(st.booleans())]
    fields = [
        f"From: {draw(ADDRESSES)}",
        f"Subject: {draw(st.sampled_from(['Hello', '[secure] Hello', 'Re: [SECURE]Hello']))}",
        *([f"To: {', '.join(named)}"] if named else []),
        *([f"Bcc: {', '.join(everybody)}"] if draw(st.booleans()) else []),
        draw(
            st.sampled_from(
                [
                    "Content-Type: text/plain",
                    "Content-Type: application/pkcs7-mime; smime-type=enveloped-data",
                    'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"',
                    'Content-Type: multipart/signed; protocol="application/pgp-signature"',
                    "Content-Type: multipart/mixed",
                ]
            )
        ),
    ]
    content = "\n".join((*fields, "", MARKER.decode(), ""))
    return outgoing(content, *everybody, sender=draw(st.none() | ADDRESSES))


OURS = frozenset({"xyz.example"})
FEW = settings(max_examples=60, deadline=None)


def _once(message: Message, outcomes: Sequence[Outcome]) -> None:
    wanted = Counter(map(str, message.envelope.recipients))
    assert Counter(one for out in outcomes for one in recipients(out)) == wanted


@FEW
@given(messages(), worlds(), USUAL)
def test_no_recipient_is_lost_or_doubled(
    message: Message, known: Mapping[Fact, Answer], policy: Policy
) -> None:
    """Somebody gets nothing, or everything twice, because a mail was divided."""
    outcomes = World(policy, known, OURS).drive(message, outbound.STAGES)
    _once(message, outcomes)
    for outcome in outcomes:
        about = [one.recipient for one in decisions(outcome.message.findings)]
        assert Counter(about) == Counter(recipients(outcome))


@FEW
@given(messages(), worlds(), USUAL)
def test_mandatory_is_never_clear(
    message: Message, known: Mapping[Fact, Answer], policy: Policy
) -> None:
    """What must be encrypted leaves in clear: the one thing that may never happen.

    Only where policy says so may it, for everybody in the envelope, bound to a verified connection.
    """
    author = headers.author(message.header)
    tagged = b"[secure]" in message.header.lower()
    for outcome in World(policy, known, OURS).drive(message, outbound.STAGES):
        if outcome.verdict != Continue():
            continue
        wishes = [
            evaluate(policy, author, one.mailbox, tagged=tagged)
            for one in outcome.message.envelope.recipients
        ]
        by_tls = [
            one.encrypt is Encrypt.MANDATORY and one.unencryptable is Unencryptable.TLS
            for one in wishes
        ]
        if outcome.message.envelope.secure:
            assert all(by_tls)
        elif any(one.encrypt is Encrypt.MANDATORY for one in wishes):
            assert MARKER not in octets(outcome)
            assert nature(outcome.message.header, outcome.message.body) is Nature.ENCRYPTED


@FEW
@given(messages(), worlds(), USUAL)
def test_blind_recipients_stay_unseen(
    message: Message, known: Mapping[Fact, Answer], policy: Policy
) -> None:
    """A recipient can tell, from header or CMS, who else secretly got the mail."""
    visible = {
        one.key for to in headers.every(message.header, "To") for one in headers.mailboxes(to.value)
    }
    blind = {str(one) for one in message.envelope.recipients if one.mailbox.key not in visible}
    for outcome in World(policy, known, OURS).drive(message, outbound.STAGES):
        own = set(recipients(outcome))
        shown = headers.without(outcome.message.header, "From")
        assert b"bcc" not in shown.lower()
        for one in blind - own:
            assert one.encode() not in shown
            assert not _names(outcome, one)
        for one in blind & own:
            assert len(own) == 1 or not _names(outcome, one)


def _names(outcome: Outcome, address: str) -> bool:
    """Whether the CMS of an outcome has a RecipientInfo for this address."""
    layer = layers.outermost(outcome.message.header, join(outcome.message.body))
    if layer is None or layer.kind not in ("enveloped-data", "authenveloped-data"):
        return False
    certificate = person(address).certificate
    return any(one.names(certificate) for one in enveloped.recipients(layer.octets))


@FEW
@given(messages(), worlds(), USUAL)
def test_explaining_is_deciding(
    message: Message, known: Mapping[Fact, Answer], policy: Policy
) -> None:
    """`explain` tells another story than the one that happens."""
    world = World(policy, known, OURS)
    first = world.drive(message, outbound.STAGES)
    again = world.drive(message, outbound.STAGES)
    told = [_told(one) for one in first]
    assert told == [_told(one) for one in again]
    assert all(Decision.from_data(one.as_data()) == one for out in told for one in out)
    assert all(render(one).startswith(one.recipient) for out in told for one in out)


def _told(outcome: Outcome) -> tuple[Decision, ...]:
    return decisions(outcome.message.findings)


@FEW
@given(
    st.lists(ADDRESSES, min_size=1, max_size=4, unique=True),
    st.sets(ADDRESSES, max_size=4),
    st.sets(ADDRESSES, max_size=4),
    USUAL,
)
def test_arriving_mail_reaches_everybody_once_and_opens_for_its_readers_only(
    everybody: list[str], readers: set[str], openers: set[str], policy: Policy
) -> None:
    """Somebody reads what was not encrypted to him, or a mail is lost while it is opened."""
    mail = f"From: bob@partner.example\nTo: {', '.join(everybody)}\n\n{MARKER.decode()}\n"
    encrypted_to = sorted(readers & set(everybody))
    sender = World.under("", facts(readers=encrypted_to), domains=frozenset())
    sent = sender.drive(outgoing(mail, *(encrypted_to or everybody[:1])), outbound.STAGES)
    arrived = arriving(sent[0], *everybody)
    known = facts(openers=sorted(openers), anchors={"partner.example": ANCHORS})
    outcomes = World(policy, known, OURS).drive(arrived, inbound.STAGES)
    _once(arrived, outcomes)
    for outcome in outcomes:
        may = all(one in openers and one in encrypted_to for one in recipients(outcome))
        if encrypted_to:
            assert (MARKER in octets(outcome)) is may
