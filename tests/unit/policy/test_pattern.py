"""Whom a rule speaks of."""

import pytest

from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox
from gatepost.policy.pattern import EVERYBODY, Pattern, keys


@pytest.mark.parametrize(
    ("pattern", "address", "expected"),
    [
        ("bob@partner.example", "BOB@Partner.Example", True),
        ("bob@partner.example", "rob@partner.example", False),
        ("Partner.Example", "bob@partner.example", True),
        ("partner.example", "bob@mail.partner.example", False),
        ("*.partner.example", "bob@mail.partner.example", True),
        ("*.partner.example", "bob@a.b.partner.example", True),
        ("*.partner.example", "bob@partner.example", False),
        ("*.partner.example", "bob@evilpartner.example", False),
        ("bücher.example", "a@xn--bcher-kva.example", True),
        ("*", "bob@partner.example", True),
        ("*", "bob@[192.0.2.1]", True),
    ],
)
def test_matches(pattern: str, address: str, expected: bool) -> None:
    """A partner's mail goes out in clear, or a stranger's is refused, because of spelling."""
    assert Pattern.parse(pattern).matches(Mailbox.parse(address)) is expected


@pytest.mark.parametrize(
    "text", ["", "@", "a@", "@b", "*partner.example", "*.", "a b", "*.*", "**", "[192.0.2.1]"]
)
def test_refuses_what_it_does_not_understand(text: str) -> None:
    """A misspelt pattern silently matches nobody."""
    with pytest.raises(Malformed):
        Pattern.parse(text)


def test_an_unknown_author_is_only_everybody() -> None:
    """Mail without an author is treated as if a certain author had written it."""
    assert Pattern.parse("*").matches(None)
    assert not Pattern.parse("xyz.example").matches(None)
    assert keys(None) == (EVERYBODY.key,)


def test_keys_run_from_specific_to_general() -> None:
    """A general rule overrides a special one."""
    assert keys(Mailbox.parse("Bob@a.b.c")) == ("bob@a.b.c", "a.b.c", "*.b.c", "*.c", "*")
