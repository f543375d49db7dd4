"""Feeds the SMTP fuzz targets with Hypothesis; a fuzzer may run them for longer."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz import smtp_sessions, smtp_target
from tests.fuzz.smtp_sessions import CLIENT_WORDS, SERVER_WORDS


def _stream(words: list[bytes]) -> st.SearchStrategy[bytes]:
    noise = st.sampled_from(words) | st.binary(max_size=6)
    lists = st.lists(noise, max_size=40).map(b"".join)
    return st.builds(lambda head, tail: bytes([head]) + tail, st.integers(0, 255), lists)


@settings(max_examples=400, deadline=None)
@given(_stream(CLIENT_WORDS))
def test_server(data: bytes) -> None:
    """A client crashes the server, exhausts it, or smuggles mail through it."""
    smtp_target.server(data)


@settings(max_examples=400, deadline=None)
@given(_stream(SERVER_WORDS))
def test_client(data: bytes) -> None:
    """A next hop crashes the delivery worker or loses a recipient's result."""
    smtp_target.client(data)


def test_sessions() -> None:
    """A second mail is smuggled through us inside the first, or both sides lose step."""
    smtp_sessions.run(2000, seed=1)
