import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.errors import Malformed
from gatepost.smtp import replies
from gatepost.smtp.data import DataReader, DataWriter, has_bare_line_end

_ATOMS = st.lists(
    st.sampled_from([b"\r\n", b".", b"..", b"\r\n.", b"a", b"bc", b"\r\n.\r\n", b" "]), max_size=30
).map(b"".join)


def read(wire: bytes, cuts: list[int], bare: str = "reject") -> tuple[bytes, DataReader, bytes]:
    reader = DataReader(10_000, bare)  # type: ignore[arg-type]  # the literal is checked elsewhere
    buffer, content, done = b"", b"", False
    edges = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    for start, stop in itertools.pairwise(edges):
        buffer += wire[start:stop]
        if not done:
            octets, at, done = reader.read(buffer, 0)
            content += octets
            buffer = buffer[at:]
    assert done
    return content, reader, buffer


def write(content: bytes, cuts: list[int]) -> bytes:
    writer = DataWriter()
    edges = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    sent = b"".join(writer.write(content[a:b]) for a, b in itertools.pairwise(edges))
    return sent + writer.finish()


CUTS = st.lists(st.integers(0, 200), max_size=8)


@given(_ATOMS, CUTS, CUTS)
def test_what_we_send_is_what_the_next_server_reads(
    content: bytes, sent: list[int], got: list[int]
) -> None:
    """A signature breaks, or a dot line ends the mail early, at some unlucky chunk border."""
    wire = write(content, sent)
    back, reader, rest = read(wire + b"QUIT\r\n", got)
    expected = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
    assert expected == back
    assert rest == b"QUIT\r\n"
    assert reader.fault is None
    assert len(expected) == reader.size


@given(_ATOMS, CUTS)
def test_no_end_of_data_inside_what_we_send(content: bytes, cuts: list[int]) -> None:
    """The next server sees two mails where we sent one."""
    wire = b"\r\n" + write(content, cuts)
    assert wire.find(b"\r\n.\r\n") == len(wire) - 5


@pytest.mark.parametrize("bad", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\n\r", b"\n", b"\r\r\n"])
def test_bare_line_ends_never_leave(bad: bytes) -> None:
    """We become the outbound half of an SMTP smuggling attack."""
    for cut in range(len(bad) + 1):
        with pytest.raises(Malformed):
            write(bad, [cut])


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\0"]), max_size=25), CUTS)
def test_normalising_leaves_only_crlf(atoms: list[bytes], cuts: list[int]) -> None:
    """A mail with odd line ends is turned into different octets depending on packet sizes."""
    wire = b"".join(atoms) + b"\r\n.\r\n"
    content, reader, _ = read(wire, cuts, "normalise")
    assert not has_bare_line_end(content)
    assert b"\0" not in content
    assert reader.fault is None
    assert read(wire, [], "normalise")[0] == content


def test_faults() -> None:
    """A client is told the wrong reason, or none."""
    assert read(b"a\nb\r\n.\r\n", [])[1].fault == replies.BARE_LINE_END
    assert read(b"a\0b\r\n.\r\n", [])[1].fault == replies.NUL_OCTET
    assert read(b"a" * 10_001 + b"\r\n.\r\n", [])[1].fault == replies.TOO_BIG
    assert read(b"a" * 9_998 + b"\r\n.\r\n", [])[1].fault is None


def test_empty_body() -> None:
    """A mail without content hangs the session, whatever the packets."""
    for cut in range(4):
        content, reader, rest = read(b".\r\n", [cut])
        assert (content, reader.size, rest) == (b"", 0, b"")
