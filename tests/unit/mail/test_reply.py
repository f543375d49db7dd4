"""Replies on the wire."""

from gatepost.errors import Refused
from gatepost.mail.reply import Reply


def test_every_line_has_code_and_status() -> None:
    """A client takes the second line of a reply for the answer to its next command."""
    assert Reply(550, "5.7.1", "no\nnever").encode() == b"550-5.7.1 no\r\n550 5.7.1 never\r\n"
    assert Reply(220, "", "hello").encode() == b"220 hello\r\n"


def test_a_cr_in_the_text_starts_no_line() -> None:
    """A next hop's text passed on lets it speak in our name."""
    assert Reply(550, "", "a\r\nb\rc").encode() == b"550-a\r\n550 bc\r\n"


def test_an_error_earns_its_reply() -> None:
    """A detail meant for the log is told to the peer."""
    assert str(Reply.for_error(Refused("secret"))) == "550 5.7.1 Refused by policy"
