import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.smtp.play import HELLO, OPEN, Play, agree, play

from gatepost.mail.reply import Reply
from gatepost.smtp import replies
from gatepost.smtp.data import has_bare_line_end
from gatepost.smtp.events import EndOfData, Event, Hello, MailFrom, Quit, RcptTo, Reset, StartTls
from gatepost.smtp.server import ServerSession
from gatepost.smtp.settings import ServerSettings
from gatepost.smtp.state import State

STRICT = ServerSettings("gw.example", size_limit=1000, starttls=True, forward=True)


def test_one_flight() -> None:
    """A pipelining client gets its replies in another order (RFC 2920 section 3.2)."""
    seen = play(OPEN + b"DATA\r\n..dot\r\nline\r\n.\r\nQUIT\r\n")
    assert seen.codes == [220, 250, 250, 250, 354, 250, 221]
    assert seen.bodies == [b".dot\r\nline\r\n"]
    assert seen.session.is_closed


def test_greeting_can_refuse() -> None:
    """A client turned away may go on speaking."""
    session = ServerSession(STRICT)
    session.receive(OPEN)
    assert not session.data_to_send()
    session.greet(Reply(554, "5.7.1", "No"))
    assert session.data_to_send() == b"554 5.7.1 No\r\n"
    assert session.is_closed
    with pytest.raises(RuntimeError):
        session.greet()


def test_refusals_leave_the_state() -> None:
    """After a refused command the session is somewhere no client expects."""

    def decide(event: Event) -> Reply:
        if isinstance(event, RcptTo) and event.recipient.mailbox.local == "no":
            return Reply(550, "5.1.1", "Unknown")
        if isinstance(event, MailFrom) and event.envelope.return_path is None:
            return Reply(450, "4.7.1", "Later")
        return agree(event)

    seen = play(
        HELLO,
        b"MAIL FROM:<>\r\nRCPT TO:<a@x.example>\r\n",
        b"MAIL FROM:<a@x.example>\r\nRCPT TO:<no@x.example>\r\nDATA\r\n",
        b"RCPT TO:<b@x.example>\r\nRCPT TO:<no@x.example>\r\nDATA\r\n.\r\n",
        decide=decide,
    )
    assert seen.codes == [220, 250, 450, 503, 250, 550, 554, 250, 550, 354, 250]
    end = seen.events[-1]
    assert isinstance(end, EndOfData)
    assert [str(r) for r in end.envelope.recipients] == ["b@x.example"]


def test_data_can_be_refused() -> None:
    """A full disk is noticed only after the whole mail was sent."""

    def decide(event: Event) -> Reply:
        return agree(event) if isinstance(event, MailFrom | RcptTo) else Reply(452, "4.3.1", "Full")

    seen = play(OPEN, b"DATA\r\nNOOP\r\n", decide=decide)
    assert seen.codes[-2:] == [452, 250]
    assert State.ADDRESSED is seen.session.state


def test_421_closes() -> None:
    """An application that says goodbye is not obeyed."""
    seen = play(OPEN, decide=lambda event: Reply(421, "4.3.2", "Going down"))
    assert seen.session.is_closed
    assert seen.codes == [220, 250, 421]


@pytest.mark.parametrize("command", [b"EHLO again.example", b"HELO again.example", b"RSET"])
def test_transactions_are_thrown_away(command: bytes) -> None:
    """Recipients of one mail receive the next (RFC 5321 section 4.1.1.5)."""
    seen = play(OPEN, command + b"\r\nDATA\r\n")
    assert seen.codes[-2:] == [250, 503]
    assert not seen.session.is_open
    assert isinstance(seen.events[-1], Reset | Hello)


def test_size() -> None:
    """A mail over the limit is accepted, or the session loses step (RFC 1870)."""
    seen = play(HELLO, b"MAIL FROM:<a@x.example> SIZE=1001\r\n", settings=STRICT)
    assert seen.codes[-1] == 552
    seen = play(OPEN, b"DATA\r\n" + b"x" * 1100 + b"\r\n.\r\nNOOP\r\n", settings=STRICT)
    assert seen.codes[-3:] == [354, 552, 250]
    assert seen.bodies == []


def test_long_lines_in_the_body_are_accepted() -> None:
    """Mail that every other server takes is bounced by us."""
    assert play(OPEN, b"DATA\r\n" + b"x" * 5000 + b"\r\n.\r\n").bodies == [b"x" * 5000 + b"\r\n"]


def test_recipient_limit() -> None:
    """One client fills the memory, or a large list is refused for good."""
    limited = ServerSettings("gw.example", recipient_limit=2)
    seen = play(OPEN + b"RCPT TO:<c@y.example>\r\nRCPT TO:<d@y.example>\r\n", settings=limited)
    assert seen.codes[-2:] == [250, 452]


def test_command_lines_are_limited() -> None:
    """A client fills the memory with one endless line."""
    long = b"NOOP " + b"x" * 3000
    seen = play(HELLO, long + b"\r\nNOOP\r\n")
    assert seen.codes[-2:] == [500, 250]
    seen = play(HELLO)
    for _ in range(100):
        seen.feed([b"x" * 1000])
        assert seen.session.backlog <= 2048
    assert seen.codes[-1] == 500
    assert seen.feed([b"\r\nNOOP\r\n"]).codes[-1:] == [250]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"MAIL FROM:<a@x.example>\nRCPT TO:<b@y.example>\r\n", 521),
        (b"NOOP\r\rNOOP\r\n", 521),
        (b"NOOP\n", 521),
        (b"GET / HTTP/1.1\r\n", 521),
        (b"NO\0OP\r\n", 500),
        (b"NOOP \xff\r\n", 500),
        (b"\r\n", 500),
        (b"XYZZY\r\n", 500),
        (b"EXPN list\r\n", 502),
        (b"BDAT 0 LAST\r\n", 503),
        (b"BDAT ten\r\n", 521),
        (b"LHLO x\r\n", 500),
        (b"AUTH PLAIN\r\n", 502),
        (b"RSET now\r\n", 501),
        (b"DATA x\r\n", 501),
        (b"EHLO\r\n", 501),
        (b"VRFY postmaster\r\n", 252),
        (b"HELP\r\n", 214),
        (b"NOOP anything\r\n", 250),
        (b"RSET \r\n", 250),
        (b"noop\r\n", 250),
    ],
)
def test_odd_commands(line: bytes, code: int) -> None:
    """An odd or hostile line gets a reply that helps nobody, or ends the wrong session."""
    seen = play(HELLO, line)
    assert code == seen.codes[-1]
    assert (code == 521) == seen.session.is_closed


def test_too_many_errors() -> None:
    """A robot guesses for ever; an honest client is sent away for old mistakes."""
    seen = play(*[b"BAD\r\n"] * 12)
    assert seen.codes[1:] == [500] * 10 + [421]
    good = OPEN + b"DATA\r\n.\r\n"
    seen = play(*([b"BAD\r\n"] * 9 + [good]) * 2)
    assert not seen.session.is_closed


def test_order() -> None:
    """Commands before EHLO or inside each other confuse the session."""
    seen = play(b"MAIL FROM:<a@x.example>\r\nDATA\r\nRSET\r\nNOOP\r\n", HELLO)
    assert seen.codes[1:] == [503, 503, 250, 250, 250]
    seen = play(OPEN, b"MAIL FROM:<a@x.example>\r\nSTARTTLS\r\n")
    assert seen.codes[-2:] == [503, 503]


def test_clear_text_behind_starttls_is_dropped() -> None:
    """Commands a man in the middle added are obeyed as if sent under TLS (RFC 3207 section 6)."""
    seen = play(HELLO, b"STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@x.example>\r\n")
    assert isinstance(seen.events[-1], StartTls)
    seen.feed([b"RSET\r\n"])
    seen.session.tls_started()
    assert seen.codes == [220, 250, 220]
    assert not seen.session.helo
    seen.feed([b"MAIL FROM:<a@x.example>\r\n", HELLO, b"STARTTLS\r\n"])
    assert seen.codes[3:] == [503, 250, 503]
    assert b"STARTTLS" not in seen.said.split(b"503", 1)[1].split(b"503")[0]


def test_starttls_not_offered() -> None:
    """A client waits for a handshake that never comes."""
    assert play(HELLO, b"STARTTLS\r\n", settings=ServerSettings("gw.example")).codes[-1] == 502


def test_no_password_in_clear() -> None:
    """A password is read off the wire (RFC 4954 section 4)."""
    settings = ServerSettings("gw.example", mechanisms=("PLAIN",))
    seen = play(HELLO, b"AUTH PLAIN AGFsaWNlAHdyb25n\r\n", settings=settings)
    assert seen.codes[-1] == 538
    assert b"AUTH" not in seen.said


def test_required_tls() -> None:
    """Mail arrives in clear where the administrator forbade it."""
    settings = ServerSettings("gw.example", starttls=True, require_tls=True)
    seen = play(OPEN, b"NOOP\r\nSTARTTLS\r\n", settings=settings)
    assert seen.codes == [220, 250, 530, 530, 250, 220]
    seen.session.tls_started()
    assert seen.feed([OPEN]).codes[-3:] == [250, 250, 250]


def test_xforward() -> None:
    """Any client forges the trace, or one mail's trace is shown for another."""
    seen = play(HELLO, b"XFORWARD NAME=a.example ADDR=192.0.2.1\r\n")
    assert seen.codes[-1] == 550
    seen = play(HELLO, b"XFORWARD NAME=a.example\r\nXFORWARD ADDR=192.0.2.1\r\n", settings=STRICT)
    assert dict(seen.session.forwarded) == {"NAME": "a.example", "ADDR": "192.0.2.1"}
    seen.feed([OPEN[len(HELLO) :], b"XFORWARD NAME=b.example\r\n"])
    assert seen.codes[-1] == 503
    seen.feed([b"DATA\r\n.\r\n"])
    assert dict(seen.session.forwarded) == {}


def test_hostile_reply_text_stays_one_reply() -> None:
    """Text from a next hop forges replies to our client."""
    text = "no\r\n250 2.0.0 Ok\nsecond\x00line\u2028" + "x" * 1000
    seen = play(OPEN, decide=lambda event: Reply(550, "5.0.0", text))
    lines = seen.said.split(b"\r\n")
    assert lines[-5] == b"550-5.0.0 no"
    assert lines[-4] == b"550-5.0.0 250 2.0.0 Ok"
    assert lines[-3].startswith(b"550 5.0.0 second?line?xxx")
    assert all(len(line) <= 510 for line in lines)


def test_close_in_the_middle() -> None:
    """A time-out leaves half a reply or a pending question behind."""
    session = ServerSession(STRICT)
    session.greet()
    session.receive(OPEN)
    while not isinstance(event := session.next_event(), MailFrom):
        assert isinstance(event, Hello)
    session.close(Reply(421, "4.4.2", "Timed out"))
    session.close(Reply(421, "4.4.2", "Twice"))
    assert session.data_to_send().endswith(b"421 4.4.2 Timed out\r\n")
    with pytest.raises(RuntimeError):
        session.answer(replies.OK)


_LINES = [
    b"EHLO c.example\r\n", b"HELO c.example\r\n", b"MAIL FROM:<a@x.example>\r\n",
    b"RCPT TO:<b@y.example>\r\n", b"DATA\r\n", b"..a\r\n", b".\r\n", b"text\r\n", b"RSET\r\n",
    b"NOOP\r\n", b"x" * 2100, b"\r", b"\n", b"\0", b"\xc3\xa4", b"STARTTLS\r\n", b"BAD\r\n",
    b"XFORWARD NAME=a\r\n", b"VRFY a\r\n", b"QUIT\r\n", b"\r\n.\r\n", b"\n.\r\n", b"GET /\r\n",
]  # fmt: skip
STREAM = st.lists(st.sampled_from(_LINES) | st.binary(max_size=8), max_size=40).map(b"".join)
START = st.sampled_from([b"", OPEN, OPEN + b"DATA\r\n"])


@given(
    START,
    STREAM,
    st.lists(st.integers(0, 10_000), max_size=12),
    st.sampled_from(["reject", "normalise"]),
)
def test_packets_do_not_matter(start: bytes, stream: bytes, cuts: list[int], bare: str) -> None:
    """The same octets mean different mail depending on how the network cut them."""
    octets = start + stream
    settings = ServerSettings("gw.example", starttls=True, forward=True, bare=bare)  # type: ignore[arg-type]
    whole = play(octets, settings=settings)
    edges = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    pieces = [octets[a:b] for a, b in itertools.pairwise(edges)]
    cut = play(*pieces, settings=settings)
    assert whole.settled == cut.settled
    assert whole.said == cut.said
    assert whole.session.state is cut.session.state


def test_single_octets_do_not_matter() -> None:
    """A slow client's mail differs from a fast one's."""
    octets = OPEN + b"DATA\r\n.\r\n" + OPEN + b"DATA\r\n..\r\n.a\r\n\r\n..\r\n.\r\nQUIT\r\n"
    whole, slow = play(octets), play(*(octets[i : i + 1] for i in range(len(octets))))
    assert whole.events == slow.events
    assert whole.bodies == [b"", b".\r\na\r\n\r\n.\r\n"]
    assert isinstance(whole.events[-1], Quit)


@pytest.mark.corpus
@pytest.mark.parametrize("bare", ["reject", "normalise"])
def test_smuggling_corpus(corpus: Path, bare: str) -> None:
    """A second mail with a forged sender is smuggled through us inside the first."""
    attacks = sorted((corpus / "smtp-smuggling" / "msg").iterdir())
    assert attacks
    settings = ServerSettings("gw.example", bare=bare)  # type: ignore[arg-type]
    for attack in attacks:
        payload = attack.read_bytes()
        for step in (len(payload), 1, 7):
            seen = Play(settings).feed([OPEN, b"DATA\r\n"])
            seen.feed(payload[i : i + step] for i in range(0, len(payload), step))
            senders = [e.envelope.return_path for e in seen.events if isinstance(e, MailFrom)]
            assert len(senders) == 1, attack.name
            assert (0 if bare == "reject" else 1) == len(seen.bodies), attack.name
            assert all(
                b"\0" not in body and b"\n." not in body.replace(b"\r\n", b"")
                for body in seen.bodies
            )


@pytest.mark.corpus
@pytest.mark.parametrize("bare", ["reject", "normalise"])
def test_smuggling_corpus_in_chunks(corpus: Path, bare: str) -> None:
    """The same attacks inside BDAT, where no end of data is looked for (RFC 3030)."""
    settings = ServerSettings("gw.example", bare=bare)  # type: ignore[arg-type]
    for attack in sorted((corpus / "smtp-smuggling" / "msg").iterdir()):
        payload = attack.read_bytes()
        octets = OPEN + b"BDAT %d LAST\r\n" % len(payload) + payload + b"NOOP\r\n"
        for step in (len(octets), 1, 7):
            seen = Play(settings).feed(octets[i : i + step] for i in range(0, len(octets), step))
            senders = [e for e in seen.events if isinstance(e, MailFrom)]
            assert len(senders) == 1, attack.name
            assert len(seen.bodies) <= 1, attack.name
            assert seen.codes[-1] == 250, attack.name
            assert not any(has_bare_line_end(body) or b"\0" in body for body in seen.bodies)
