"""Feeds the SMTP fuzz targets with Hypothesis; a fuzzer may run them for longer."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz import smtp_target

_CLIENT_WORDS = [
    b"EHLO a\r\n", b"HELO a\r\n", b"MAIL FROM:<a@b.c>", b"MAIL FROM:<>", b" SIZE=9", b" BODY=8BITMIME",
    b" SMTPUTF8", b" RET=FULL", b"RCPT TO:<x@y.z>", b" NOTIFY=NEVER", b" ORCPT=rfc822;x", b"\r\n",
    b"DATA\r\n", b"\r\n.\r\n", b".", b"\n", b"\r", b"\0", b"\n.\n", b"RSET\r\n", b"STARTTLS\r\n",
    b"XFORWARD NAME=x", b"QUIT\r\n", b"x" * 600, b"x" * 2100, b'"', b"<", b">", b"@", b"\xc3\xa4",
]  # fmt: skip
_SERVER_WORDS = [
    b"220 mx\r\n", b"250-mx\r\n", b"250-PIPELINING\r\n", b"250-STARTTLS\r\n", b"250-SIZE 5\r\n",
    b"250-SMTPUTF8\r\n", b"250 8BITMIME\r\n", b"250 2.0.0 ok\r\n", b"354 go\r\n", b"421 bye\r\n",
    b"451 4.0.0 no\r\n", b"550 5.1.1 no\r\n", b"250", b" ", b"-", b"\r\n", b"\n", b"\r", b"\0",
    b"x" * 5000, b"503 x\r\n", b"502 x\r\n",
]  # fmt: skip


def _stream(words: list[bytes]) -> st.SearchStrategy[bytes]:
    noise = st.sampled_from(words) | st.binary(max_size=6)
    lists = st.lists(noise, max_size=40).map(b"".join)
    return st.builds(lambda head, tail: bytes([head]) + tail, st.integers(0, 255), lists)


@settings(max_examples=400, deadline=None)
@given(_stream(_CLIENT_WORDS))
def test_server(data: bytes) -> None:
    """A client crashes the server, exhausts it, or smuggles mail through it."""
    smtp_target.server(data)


@settings(max_examples=400, deadline=None)
@given(_stream(_SERVER_WORDS))
def test_client(data: bytes) -> None:
    """A next hop crashes the delivery worker or loses a recipient's result."""
    smtp_target.client(data)
