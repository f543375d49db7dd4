"""Composed entities: what we build, every reader reads."""

import email
import email.policy
from collections.abc import Iterator

import pytest

from gatepost.errors import Malformed
from gatepost.mail.content import Content, Octets, join
from gatepost.mime.boundary import boundary
from gatepost.mime.compose import attachment, entity, multipart, text
from gatepost.mime.content_type import ContentType
from gatepost.mime.entity import parse


def whole(part: tuple[bytes, Content]) -> bytes:
    return join(entity(*part))


def test_a_text_is_seven_bit() -> None:
    """A notice in another language arrives as question marks."""
    assert whole(text("plain\nlines")).endswith(b"7bit\r\n\r\nplain\r\nlines\r\n")
    made = email.message_from_bytes(whole(text("Grüße\n" + "x" * 100)), policy=email.policy.default)
    assert made.get_content().replace("\r\n", "\n") == "Grüße\n" + "x" * 100 + "\n"
    assert join(text("")[1]) == b""


def test_a_multipart_holds_its_parts_untouched() -> None:
    """The signed part of a clear signature differs from what was signed."""
    one, two = b"A: b\r\n\r\nx\r\n", whole(attachment(Octets(b"\xff" * 99), ContentType("a", "b"), "ü.p7s"))  # fmt: skip
    made = multipart("signed", [Octets(one), Octets(two)], b"=_x", {"micalg": "sha-256"}, b"pre")
    tree = parse(whole(made))
    assert [part.raw for part in tree.children] == [one, two]
    assert tree.content_type.parameters == {"micalg": "sha-256", "boundary": "=_x"}
    assert made[1].size == len(join(made[1]))
    oracle = email.message_from_bytes(whole(made), policy=email.policy.default)
    assert oracle.preamble == "pre"
    file = list(oracle.walk())[2]
    assert file.get_filename() == "ü.p7s"
    assert file.get_content_disposition() == "attachment"
    assert file.get_payload(decode=True) == b"\xff" * 99


def test_a_multipart_has_parts() -> None:
    """RFC 2046 section 5.1.1: at least one."""
    with pytest.raises(Malformed):
        multipart("mixed", [], b"=_x")


def test_a_boundary_stands_in_no_content() -> None:
    """A part ends early, and its rest is lost or shown as text."""
    names: Iterator[int] = iter(range(100))
    assert boundary(lambda: str(next(names)), b"--=_0", b"=_1x") == b"=_2"
    with pytest.raises(Malformed):
        boundary(lambda: "same", b"=_same")


@pytest.mark.parametrize("name", ["a b", "ä\r\n", "x" * 69, 'a"b'])
def test_a_boundary_keeps_to_its_characters(name: str) -> None:
    """RFC 2046 section 5.1.1: at most 70, none that ends the field."""
    with pytest.raises(Malformed):
        boundary(lambda: name)
