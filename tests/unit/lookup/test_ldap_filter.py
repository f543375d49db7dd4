"""Filters: RFC 4515 as written by people, and a value that stays one."""

import pytest

from gatepost.errors import Malformed
from gatepost.lookup.ldap_filter import MAXIMUM, MAXIMUM_DEPTH, parsed


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        # Worked out by hand from RFC 4511 section 4.5.1 and 4.5.1.7.
        ("(mail=%s)", "a30a 0404 6d61696c 0402 6140"),
        ("(cn=*)", "87 02 636e"),
        ("(a=x*%s*y)", "a40f 0401 61 300a 8001 78 8102 6140 8201 79"),
        ("(a=*%s)", "a409 0401 61 3004 8202 6140"),
        ("(!(a>=%s))", "a209 a507 0401 61 0402 6140"),
        ("(&(a<=1)(b~=2))", "a010 a606 0401 61 0401 31 a806 0401 62 0401 32"),
        ("(|(a=\\2a))", "a108 a306 0401 61 0401 2a"),
        ("(m:1.2:=%s)", "a90c 8103 312e32 8201 6d 8302 6140"),
        ("(a=smtp:%s)", "a30c 0401 61 0407 736d74703a 6140"),
    ],
)
def test_octets(text: str, octets: str) -> None:
    """Servers would find somebody else, or nobody."""
    assert parsed(text).encoded(b"a@").hex() == octets.replace(" ", "")


@pytest.mark.parametrize("value", [b"*", b")(uid=*", b"\\2a", b"%s", b"\0", b"x*y", b""])
def test_the_value_means_nothing(value: bytes) -> None:
    """RFC 4515 section 3: in text these would be wildcards, other filters, or ends."""
    found = parsed("(|(mail=%s)(cn=*))").encoded(value)
    assert bytes((0x04, len(value))) + value in found
    assert found.count(b"\xa3") == 1
    assert b"\xa4" not in found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mail=%s",
        "(mail=%s",
        "(mail=%s))",
        "(mail=%s)x",
        "(&)",
        "(!(a=1)(b=2))",
        "(&(a=1)",
        "(a=\\2)",
        "(a=\\zz)",
        "(a=**)",
        "(=x)",
        "(a b=x)",
        "(m:1.2:>=x)",
        "(a=(b))",
        "(!" * (MAXIMUM_DEPTH + 1) + "(a=1)" + ")" * (MAXIMUM_DEPTH + 1),
        "(a=" + "x" * MAXIMUM + ")",
    ],
)
def test_mistakes(text: str) -> None:
    """A filter that means something else than its author thought."""
    with pytest.raises(Malformed):
        parsed(text)
