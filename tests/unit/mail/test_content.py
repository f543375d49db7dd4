"""Contents: the same octets, however they are held."""

from gatepost.mail.content import SMALL, Octets, Rope, Slice, join, settled


def test_slices_and_ropes_give_their_range() -> None:
    """A streamed body is cut at a chunk's border and loses an octet."""
    whole = Rope((Octets(b"abc"), Octets(b""), Octets(b"defg"), Octets(b"h")))
    for start in range(9):
        for stop in range(start, 9):
            part = Slice(whole, start, stop)
            assert join(part) == b"abcdefgh"[start:stop]
            assert part.size == stop - start
    assert join(whole) == b"abcdefgh"
    assert whole.size == 8


def test_a_repr_shows_no_body() -> None:
    """A body reaches the log through an exception."""
    assert "secret" not in repr(Rope((Octets(b"secret"),)))


def test_settled() -> None:
    """Small mail is encoded again for every look at it; large mail is copied into memory."""
    for size, kept in ((SMALL, False), (SMALL + 1, True)):
        rope = Rope((Octets(b"a" * (size - 1)), Octets(b"z")))
        made = settled(rope)
        assert (made is rope) == kept
        assert join(made) == join(rope)
