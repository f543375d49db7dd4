import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox
from gatepost.smtp import grammar


@pytest.mark.parametrize(
    ("text", "inside", "rest"),
    [
        ("<a@b.example>", "a@b.example", ""),
        (" <a@b.example>", "a@b.example", ""),
        ("<a@b.example> SIZE=1  BODY=7BIT ", "a@b.example", "SIZE=1  BODY=7BIT"),
        ("<>", "", ""),
        ('<"a>b"@c.example> X', '"a>b"@c.example', "X"),
        ('<"a\\">b"@c.example>', '"a\\">b"@c.example', ""),
        ("<@one.example,@two.example:a@b.example>", "a@b.example", ""),
        ('<a@b.example> X="y>"', "a@b.example", 'X="y>"'),
    ],
)
def test_paths(text: str, inside: str, rest: str) -> None:
    """A legal address is refused, or read as another one."""
    assert (inside, rest) == grammar.split_path(text)


@pytest.mark.parametrize(
    "text",
    [
        "a@b.example",
        "<a@b.example",
        "<a@b.example>x",
        '<"a>',
        "<@route>",
        "<@:a@b>",
        "",
        "<@a,b:c@d>",
    ],
)
def test_malformed_paths(text: str) -> None:
    """Two servers read one command differently, and the stricter one's policy is bypassed."""
    with pytest.raises(Malformed):
        grammar.split_path(text)


def test_path_length() -> None:
    """A path longer than the next server takes is accepted and bounces later."""
    assert Mailbox("a", "b.example") == grammar.mailbox("a@b.example")
    with pytest.raises(Malformed):
        grammar.mailbox("a" * 64 + "@" + "b" * 60 + ("." + "c" * 60) * 3)


def test_parameters() -> None:
    """A sender's wish is lost or misread."""
    found = grammar.parameters("size=1000 BODY=8BITMIME SMTPUTF8 X=<>")
    assert found == {"SIZE": "1000", "BODY": "8BITMIME", "SMTPUTF8": None, "X": "<>"}


@pytest.mark.parametrize("rest", ["SIZE=1 SIZE=2", "=1", "-A", "A=", "A=b=c", "A=\x7f", "Ä=1"])
def test_malformed_parameters(rest: str) -> None:
    """Nonsense passes on to the next server under our name."""
    with pytest.raises(Malformed):
        grammar.parameters(rest)


@given(st.text(max_size=40))
def test_xtext_round_trip(text: str) -> None:
    """An original recipient is reported wrongly in a delivery notification."""
    encoded = grammar.encode_xtext(text.encode("utf-8", "replace").decode())
    assert grammar.is_xtext(encoded)
    assert text.encode("utf-8", "replace").decode() == grammar.decode_xtext(encoded)


@pytest.mark.parametrize("text", ["a+b", "a+2", "a=b", "a b", "+2b"])
def test_malformed_xtext(text: str) -> None:
    """A forged ENVID smuggles spaces into the next command."""
    with pytest.raises(Malformed):
        grammar.decode_xtext(text)


@pytest.mark.parametrize("name", ["", " ", "a b", "ä.example", "a\x01", "x" * 256])
def test_host_names(name: str) -> None:
    """A Received field is forged through EHLO."""
    with pytest.raises(Malformed):
        grammar.domain(name)
