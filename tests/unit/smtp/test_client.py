from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.smtp.play import Play

from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.smtp.client import (
    ClientEvent,
    ClientSession,
    NextClientEvent,
    Ready,
    SendBody,
    Settled,
    TlsAnswer,
    Unwilling,
)
from gatepost.smtp.events import NEED_DATA
from gatepost.smtp.settings import ClientSettings
from gatepost.smtp.submission import NO_EIGHT_BIT, NO_SMTPUTF8, TOO_BIG, Job

FULL = b"250-mx\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-DSN\r\n250 STARTTLS\r\n"
BARE = b"250 mx\r\n"
LOST = Reply(451, "4.4.2", "Connection lost")


def recipient(text: str, **wishes: str) -> Recipient:
    return Recipient(Mailbox.parse(text), **wishes)


def envelope(*recipients: str, **wishes: str) -> Envelope:
    return Envelope(
        Mailbox.parse("a@x.example"),
        tuple(recipient(text) for text in recipients),
        ret=wishes.get("ret"),
        envid=wishes.get("envid"),
    )


def ready(offer: bytes = FULL) -> ClientSession:
    session = ClientSession(ClientSettings("me.example"))
    assert Ready(extended=True) == step(session, b"220 mx\r\n" + offer)
    assert session.data_to_send() == b"EHLO me.example\r\n"
    return session


def step(session: ClientSession, wire: bytes) -> NextClientEvent:
    session.receive(wire)
    return session.next_event()


def codes(event: object) -> list[int]:
    assert isinstance(event, Settled)
    return [reply.code for _, reply in event.results]


def send(session: ClientSession, *chunks: bytes) -> bytes:
    session.data_to_send()
    for chunk in chunks:
        session.write(chunk)
    session.finish()
    return session.data_to_send()


def test_pipelined_transaction() -> None:
    """Every mail costs five round trips, or the replies go to the wrong recipients."""
    session = ready()
    session.begin(Job(envelope("b@y.example", "c@y.example", ret="HDRS", envid="Q"), 12))
    assert (
        session.data_to_send() == b"MAIL FROM:<a@x.example> SIZE=12 RET=HDRS ENVID=Q\r\n"
        b"RCPT TO:<b@y.example>\r\nRCPT TO:<c@y.example>\r\nDATA\r\n"
    )
    assert SendBody() == step(session, b"250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n")
    assert send(session, b".a\r", b"\nb\r\n", b".c\r\n") == b"..a\r\nb\r\n..c\r\n.\r\n"
    assert codes(step(session, b"250 kept\r\n")) == [250, 550]
    assert session.is_idle
    session.begin(Job(envelope("b@y.example"), 1))
    assert session.data_to_send().startswith(b"MAIL")  # no RSET is needed


def test_step_by_step_without_pipelining() -> None:
    """A server without PIPELINING receives commands before it answered."""
    session = ready(BARE)
    session.begin(Job(envelope("b@y.example", "c@y.example", ret="FULL"), 12))
    for wire, command in [
        (b"", b"MAIL FROM:<a@x.example>\r\n"),
        (b"250 ok\r\n", b"RCPT TO:<b@y.example>\r\n"),
        (b"250 ok\r\n", b"RCPT TO:<c@y.example>\r\n"),
        (b"450 busy\r\n", b"DATA\r\n"),
    ]:
        assert step(session, wire) == NEED_DATA
        assert command == session.data_to_send()
    assert SendBody() == step(session, b"354 go\r\n")
    send(session, b"x\r\n")
    assert codes(step(session, b"250 kept\r\n")) == [250, 450]


def test_all_refused_without_pipelining() -> None:
    """DATA is sent for nobody."""
    session = ready(BARE)
    session.begin(Job(envelope("b@y.example"), 1))
    session.receive(b"250 ok\r\n550 no\r\n")
    assert codes(session.next_event()) == [550]
    assert b"DATA" not in session.data_to_send()
    session.begin(Job(envelope("b@y.example"), 1))
    assert session.data_to_send() == b"RSET\r\n"


def test_sender_refused() -> None:
    """The reason is lost when the server refuses the return path."""
    for offer in (FULL, BARE):
        session = ready(offer)
        session.begin(Job(envelope("b@y.example", "c@y.example"), 1))
        rest = b"503 no\r\n503 no\r\n503 no\r\n" if offer is FULL else b""
        assert codes(step(session, b"451 greylisted\r\n" + rest)) == [451, 451]
        assert not session.is_begun
        assert session.is_idle


def test_354_though_all_were_refused() -> None:
    """The connection hangs, or the mail reaches nobody as accepted (RFC 2920 section 3.1)."""
    session = ready()
    session.begin(Job(envelope("b@y.example"), 1))
    session.data_to_send()
    assert step(session, b"250 ok\r\n550 no\r\n354 go\r\n") == NEED_DATA
    assert session.data_to_send() == b".\r\n"
    assert codes(step(session, b"250 kept nothing\r\n")) == [550]
    assert session.is_idle


def test_data_refused() -> None:
    """Accepted recipients of a refused mail are forgotten."""
    session = ready()
    session.begin(Job(envelope("b@y.example", "c@y.example"), 1))
    assert codes(step(session, b"250 ok\r\n250 ok\r\n550 no\r\n452 full\r\n")) == [452, 550]
    session.begin(Job(envelope("b@y.example"), 1))
    assert b"RSET\r\nMAIL" in session.data_to_send()
    assert SendBody() == step(session, b"250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n")


def test_421_in_a_transaction() -> None:
    """A server going down costs a bounce instead of a retry."""
    session = ready()
    session.begin(Job(envelope("b@y.example", "c@y.example"), 1))
    assert codes(step(session, b"250 ok\r\n250 ok\r\n550 no\r\n421 bye\r\n")) == [421, 550]
    assert session.is_closed


def test_reply_in_mid_body() -> None:
    """A server that gives up early is talked over, and its reply taken for the next mail's."""
    session = ready()
    session.begin(Job(envelope("b@y.example"), 1))
    assert SendBody() == step(session, b"250 ok\r\n250 ok\r\n354 go\r\n")
    session.write(b"half")
    assert codes(step(session, b"552 too much\r\n")) == [552]
    assert session.is_closed


def test_lost_connection() -> None:
    """A lost connection loses a recipient."""
    session = ready()
    session.begin(Job(envelope("b@y.example", "c@y.example"), 1))
    assert step(session, b"250 ok\r\n550 no\r\n") == NEED_DATA
    assert session.is_begun
    assert [reply.code for _, reply in session.abandon(LOST)] == [550, 451]
    assert session.abandon(LOST) == ()


def test_extensions_decide() -> None:
    """Mail the next hop cannot carry is sent all the same, or everyone's mail bounces."""
    plain = envelope("b@y.example", "ä@y.example", "c@ü.example")
    session = ready()
    session.begin(Job(plain, 12))
    assert b"RCPT TO:<c@xn--tda.example>" in session.data_to_send()
    event = step(session, b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert SendBody() == event
    send(session, b"")
    assert codes(step(session, b"250 ok\r\n")) == [250, 553, 250]
    session.begin(Job(plain, 1001))
    assert Settled(tuple((r, TOO_BIG) for r in plain.recipients)) == session.next_event()
    bare = ready(BARE)
    bare.begin(Job(plain, 1, is_eight_bit=True))
    assert Settled(tuple((r, NO_EIGHT_BIT) for r in plain.recipients)) == bare.next_event()
    utf8 = Envelope(Mailbox.parse("ä@x.example"), plain.recipients)
    bare.begin(Job(utf8, 1, is_eight_bit=True, force_eight_bit=True))
    assert Settled(tuple((r, NO_SMTPUTF8) for r in plain.recipients)) == bare.next_event()
    assert bare.is_idle


def test_parameters_only_where_offered() -> None:
    """A next hop refuses mail because of parameters it never offered."""
    wishes = Envelope(
        Mailbox.parse("ä@x.example"),
        (recipient("b@y.example", notify="NEVER", orcpt="rfc822;b@y.example"),),
        ret="FULL",
    )
    offer = b"250-mx\r\n250-PIPELINING\r\n250-SMTPUTF8\r\n250-8BITMIME\r\n250 DSN\r\n"
    session = ready(offer)
    session.begin(Job(wishes, 1, is_eight_bit=True))
    assert (
        "MAIL FROM:<ä@x.example> BODY=8BITMIME SMTPUTF8 RET=FULL\r\n"
        "RCPT TO:<b@y.example> NOTIFY=NEVER ORCPT=rfc822;b@y.example\r\nDATA\r\n".encode()
        == session.data_to_send()
    )


def test_introductions() -> None:
    """An old server, or one that refuses us, is misunderstood."""
    session = ClientSession(ClientSettings("me.example"))
    assert step(session, b"220 old\r\n502 what?\r\n") == NEED_DATA
    assert session.data_to_send() == b"EHLO me.example\r\nHELO me.example\r\n"
    assert Ready(extended=False) == step(session, b"250 old\r\n")
    for wire, is_greeting in [(b"554 no\r\n", True), (b"220 x\r\n450 later\r\n", False)]:
        session = ClientSession(ClientSettings("me.example"))
        event = step(session, wire)
        assert isinstance(event, Unwilling)
        assert is_greeting is event.is_greeting
        assert session.is_closed


def test_starttls() -> None:
    """Replies injected before TLS are believed after it."""
    session = ready()
    session.starttls()
    assert session.data_to_send() == b"STARTTLS\r\n"
    assert TlsAnswer(Reply(220, "", "go")) == step(session, b"220 go\r\n")
    session.tls_started()
    assert session.extensions == {}
    assert session.data_to_send() == b"EHLO me.example\r\n"
    session = ready()
    session.starttls()
    session.receive(b"220 go\r\n250 forged\r\n")
    with pytest.raises(Malformed):
        session.next_event()


@pytest.mark.parametrize("wire", [b"250 what?\r\n", b"garbage\r\n"])
def test_unasked_replies(wire: bytes) -> None:
    """A positive reply from nowhere counts as acceptance of the next mail."""
    session = ready()
    session.receive(wire)
    with pytest.raises(Malformed):
        session.next_event()
    idle = ready()
    assert isinstance(step(idle, b"421 idle too long\r\n"), Unwilling)
    idle = ready()
    idle.quit()
    assert isinstance(step(idle, b"221 bye\r\n"), Unwilling)


def test_data_answered_strangely() -> None:
    """250 to DATA lets the body be read as commands."""
    session = ready()
    session.begin(Job(envelope("b@y.example"), 1))
    session.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n")
    with pytest.raises(Malformed):
        session.next_event()


def test_intermediate_reply_at_the_end() -> None:
    """A mail nobody accepted counts as delivered."""
    session = ready()
    session.begin(Job(envelope("b@y.example"), 1))
    assert step(session, b"250 ok\r\n250 ok\r\n354 go\r\n") == SendBody()
    send(session, b"x\r\n")
    session.receive(b"354 again\r\n")
    with pytest.raises(Malformed):
        session.next_event()


def converse(client: ClientSession, server: Play, chunks: Sequence[bytes]) -> ClientEvent:
    """Let both sides talk until the client has an event that is not the body's."""
    while True:
        server.feed([client.data_to_send()])
        client.receive(server.said)
        server.said = b""
        event = client.next_event()
        if isinstance(event, SendBody):
            for chunk in chunks:
                client.write(chunk)
            client.finish()
        elif event is not NEED_DATA:
            assert not isinstance(event, Settled) or client.is_idle
            return event


@given(
    st.lists(st.sampled_from([b"a", b".", b"\r\n", b"..", b"\r\n.", b"\r\n.\r\n"]), max_size=20),
    st.integers(1, 5),
)
def test_our_client_and_our_server(parts: list[bytes], times: int) -> None:
    """Two gateposts cannot talk to each other."""
    client, server = ClientSession(ClientSettings("me.example")), Play()
    assert Ready(extended=True) == converse(client, server, ())
    body = b"".join(parts) + b"\r\n"
    for _ in range(times):
        client.begin(Job(envelope("b@y.example"), len(body)))
        chunks = [body[i : i + 3] for i in range(0, len(body), 3)]
        assert codes(converse(client, server, chunks)) == [250]
    assert [body] * times == server.bodies
