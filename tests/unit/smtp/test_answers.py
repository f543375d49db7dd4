import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.errors import Malformed
from gatepost.mail.reply import Reply
from gatepost.smtp.answers import ReplyReader


def read(*pieces: bytes) -> list[Reply]:
    reader, found = ReplyReader(100, 5), []
    for piece in pieces:
        reader.receive(piece)
        while (reply := reader.next_reply()) is not None:
            found.append(reply)
    return found


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        (b"250 2.1.0 Ok\r\n", Reply(250, "2.1.0", "Ok")),
        (b"250 Ok\r\n", Reply(250, "", "Ok")),
        (b"250\r\n", Reply(250, "", "")),
        (b"250 \n", Reply(250, "", "")),
        (b"550-5.1.1 no\r\n550 5.1.1 such user\r\n", Reply(550, "5.1.1", "no\nsuch user")),
        (b"550 2.1.1 lies\r\n", Reply(550, "", "2.1.1 lies")),
        (b"250-mx.example\r\n250-SIZE 1\r\n250 DSN\r\n", Reply(250, "", "mx.example\nSIZE 1\nDSN")),
        (b"451 4.0.0\x1b[2J\xff\r\n", Reply(451, "", "4.0.0?[2J\ufffd")),
    ],
)
def test_replies(wire: bytes, reply: Reply) -> None:
    """A bounce names another reason than the one the server gave."""
    assert [reply] == read(wire)
    assert [reply] == read(*(wire[i : i + 1] for i in range(len(wire))))


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\r\n",
        b"25\r\n",
        b"250x\r\n",
        b"600 no\r\n",
        b"250-a\r\n251 b\r\n",
        b"250-a\r\n" * 6,
        b"x" * 101,
        b"250 " + b"x" * 100 + b"\r\n",
    ],
)
def test_nonsense(wire: bytes) -> None:
    """A hostile server fills the memory, or its nonsense counts as acceptance."""
    with pytest.raises(Malformed):
        read(wire)


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_anything_is_a_reply_or_malformed(pieces: list[bytes]) -> None:
    """A hostile server crashes the delivery worker."""
    with contextlib.suppress(Malformed):
        assert all(200 <= reply.code < 600 for reply in read(*pieces))
