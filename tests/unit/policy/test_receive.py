"""How mail of each sender is received: the most specific rule, and every possible author."""

import pytest

from gatepost.errors import ConfigError
from gatepost.mail.address import Mailbox
from gatepost.policy.parse import parse
from gatepost.policy.receive import Welcome, receive
from gatepost.policy.rules import Expect, Fault

POLICY = """
[inbound]
undecryptable = "hold"

[[inbound.rule]]
name = "Grid"
from = "grid.example"
expect = "signed+encrypted"
unmet = "hold"

[[inbound.rule]]
name = "Their shop"
from = "shop@grid.example"
expect = "nothing"
"""


def received(*authors: str) -> Welcome:
    """How mail of these authors is received."""
    return receive(parse(POLICY).inbound, [Mailbox.parse(one) for one in authors])


def test_the_most_specific_rule_counts_for_each_setting() -> None:
    """A partner's newsletter would be held for want of a signature."""
    found = received("bob@grid.example")
    assert (found.expect, found.unmet, found.agreed) == (Expect.BOTH, Fault.HOLD, 'rule "Grid"')
    assert found.undecryptable is Fault.HOLD
    shop = received("shop@grid.example")
    assert (shop.expect, shop.unmet) == (Expect.NOTHING, Fault.HOLD)
    other = received("bob@other.example")
    assert (other.expect, other.unmet, other.agreed) == (Expect.NOTHING, Fault.DELIVER, "[inbound]")
    assert received().expect is Expect.NOTHING


def test_every_author_counts() -> None:
    """Eve puts herself before Bob into From, and her mail need not be signed as his."""
    assert received("eve@evil.example", "bob@grid.example").expect is Expect.BOTH


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('[[inbound.rule]]\nfrom = "x.example"\n', "line 1, inbound.rule[1]: a rule needs a name"),
        ('[[inbound.rule]]\nname = "x"\nexpect = "sealed"\n', "'sealed' is not allowed; use"),
        ('[[inbound.rule]]\nname = "x"\n[[inbound.rule]]\nname = "x"\n', "rule in line 1"),
        ("[inbound]\nrule = 3\n", "two brackets"),
        ('[[inbound.rule]]\nname = "x"\nto = "y.example"\n', "to"),
    ],
)
def test_mistakes_are_named(text: str, error: str) -> None:
    """A rule that is not understood would let forged mail in unmarked."""
    with pytest.raises(ConfigError, match=error.replace("[", "\\[")):
        parse(text)
