"""Plays octets at a server session and notes what came of it."""

from collections.abc import Callable, Iterable

from gatepost.mail.reply import Reply
from gatepost.smtp import replies
from gatepost.smtp.events import (
    BodyChunk,
    BodyStart,
    EndOfData,
    Event,
    MailFrom,
    RcptTo,
    Signal,
    StartTls,
)
from gatepost.smtp.server import ServerSession
from gatepost.smtp.settings import ServerSettings

Decide = Callable[[Event], Reply]
HELLO = b"EHLO client.example\r\n"
OPEN = HELLO + b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"


def agree(event: Event) -> Reply:
    """Say yes to everything."""
    match event:
        case MailFrom():
            return replies.SENDER_OK
        case RcptTo():
            return replies.RECIPIENT_OK
        case BodyStart():
            return replies.START
        case _:
            return replies.OK


class Play:
    """A session, every event with adjacent chunks joined, and everything it said."""

    def __init__(self, settings: ServerSettings | None = None, decide: Decide = agree) -> None:
        self.session = ServerSession(settings or ServerSettings("gw.example", starttls=True))
        self.events: list[Event] = []
        self.said = b""
        self._decide = decide
        self.session.greet()

    def feed(self, pieces: Iterable[bytes]) -> "Play":
        for piece in pieces:
            self.session.receive(piece)
            self._drain()
        return self

    def _drain(self) -> None:
        while not isinstance(event := self.session.next_event(), Signal):
            self._note(event)
            if isinstance(event, MailFrom | RcptTo | BodyStart) or (
                isinstance(event, EndOfData) and event.fault is None
            ):
                self.session.answer(self._decide(event))
            if isinstance(event, StartTls):
                break
        self.said += self.session.data_to_send()

    def _note(self, event: Event) -> None:
        last = self.events[-1] if self.events else None
        if isinstance(event, BodyChunk) and isinstance(last, BodyChunk):
            self.events[-1] = BodyChunk(last.octets + event.octets)
        elif isinstance(event, EndOfData) and event.fault is not None and last is not None:
            if isinstance(last, BodyChunk):
                self.events.pop()  # thrown away; how much came before the fault is chance
            self.events.append(event)
        else:
            self.events.append(event)

    @property
    def settled(self) -> list[Event]:
        """Events without the content of an unfinished message, of which any part may have come."""
        is_last = bool(self.events) and isinstance(self.events[-1], BodyChunk)
        return self.events[:-1] if is_last else self.events

    @property
    def codes(self) -> list[int]:
        """The code of every reply so far, the greeting first."""
        lines = self.said.decode().split("\r\n")[:-1]
        return [int(line[:3]) for line in lines if line[3:4] != "-"]

    @property
    def bodies(self) -> list[bytes]:
        """Every accepted message's content."""
        found, body = [], b""
        for event in self.events:
            if isinstance(event, BodyChunk):
                body += event.octets
            elif isinstance(event, EndOfData):
                if event.fault is None:
                    found.append(body)
                body = b""
        return found


def play(*pieces: bytes, settings: ServerSettings | None = None, decide: Decide = agree) -> Play:
    """Play these pieces at a fresh session."""
    return Play(settings, decide).feed(pieces)
