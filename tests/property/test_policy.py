"""Whatever an administrator decides survives export and import, and answers in one way."""

from hypothesis import given
from tests.policies import MAILBOXES, POLICIES

from gatepost.mail.address import Mailbox
from gatepost.policy.compose import compose
from gatepost.policy.evaluate import certainly_mandatory, evaluate
from gatepost.policy.parse import parse
from gatepost.policy.pattern import Pattern
from gatepost.policy.profile import PROFILES
from gatepost.policy.rules import BUILT_IN, NAMES, Policy, Settings
from gatepost.policy.treatment import Encrypt


@given(POLICIES)
def test_compose_loses_nothing(policy: Policy) -> None:
    """A policy exported and applied again decides otherwise."""
    assert parse(compose(policy)) == policy


def _specificity(pattern: Pattern) -> tuple[int, int]:
    kinds = {"everybody": 0, "subdomains": 1, "domain": 2, "address": 3}
    return kinds[pattern.kind], pattern.key.count(".")


@given(POLICIES, MAILBOXES, MAILBOXES)
def test_the_index_answers_like_the_written_order(
    policy: Policy, author: Mailbox, recipient: Mailbox
) -> None:
    """The fast look-up and the documented order disagree."""
    matching = [
        rule
        for _, rule in sorted(
            enumerate(policy.rules),
            key=lambda one: (
                _specificity(one[1].to),
                _specificity(one[1].from_),
                one[0],
            ),
            reverse=True,
        )
        if rule.to.matches(recipient) and rule.from_.matches(author)
    ]
    treatment = evaluate(policy, author, recipient)
    written = [*(rule.settings for rule in matching), policy.defaults, BUILT_IN]
    layers = [
        one
        for each in written
        for one in (each, PROFILES[each.profile] if each.profile else Settings())
    ]
    for name in NAMES:
        expected = next(value for layer in layers if (value := getattr(layer, name)) is not None)
        assert treatment.origin(name).value == expected
    assert treatment.rule == (matching[0].name if matching else "defaults")


@given(POLICIES, MAILBOXES, MAILBOXES)
def test_what_is_certain_at_rcpt_is_so_for_every_author(
    policy: Policy, author: Mailbox, recipient: Mailbox
) -> None:
    """RCPT is refused for a wish that the author's own rule would have softened."""
    if certainly_mandatory(policy, recipient):
        assert evaluate(policy, author, recipient).encrypt is Encrypt.MANDATORY
        assert evaluate(policy, None, recipient).encrypt is Encrypt.MANDATORY


@given(POLICIES, MAILBOXES, MAILBOXES)
def test_the_author_can_only_strengthen(
    policy: Policy, author: Mailbox, recipient: Mailbox
) -> None:
    """[secure] in a subject makes a mail less safe."""
    assert evaluate(policy, author, recipient, tagged=True).encrypt is Encrypt.MANDATORY
