"""The company behind the server in a dialogue: its people answer by their names."""

import asyncio
from collections.abc import Awaitable, Sequence

from gatepost.mail.address import Mailbox
from gatepost.mail.content import Content, join
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.net.application import SessionInfo, Sink
from gatepost.net.sink import MemorySink
from gatepost.smtp.scram import Verifier

TROUBLE = "the application is broken"
SECRET = Verifier.of("secret", b"salt", 4096)
FULL = Reply(452, "4.2.2", "Mailbox full")


class Company:
    """An application for tests; keeps what it accepted."""

    def __init__(self) -> None:
        self.kept: list[tuple[SessionInfo, Envelope, bytes]] = []
        self.sinks: list[Sink] = []

    def admit(self, session: SessionInfo) -> Reply | None:
        return None

    def sender(self, session: SessionInfo, envelope: Envelope) -> Reply | Awaitable[Reply]:
        return self._answer(envelope.return_path, Reply(250, "2.1.0", "Sender ok"))

    def recipient(
        self, session: SessionInfo, envelope: Envelope, recipient: Recipient
    ) -> Reply | Awaitable[Reply]:
        return self._answer(recipient.mailbox, Reply(250, "2.1.5", "Recipient ok"))

    def message(
        self, session: SessionInfo, envelope: Envelope, content: Content
    ) -> Reply | Sequence[Reply] | Awaitable[Reply]:
        octets = join(content)
        if b"Subject: trouble" in octets:
            raise RuntimeError(TROUBLE)
        if b"Subject: refuse" in octets:
            return Reply(554, "5.7.1", "Message refused")
        self.kept.append((session, envelope, octets))
        reply = Reply(250, "2.0.0", f"Kept {len(octets)} octets")
        if session.is_lmtp:
            return [FULL if r.mailbox.local == "full" else reply for r in envelope.recipients]
        return _later(reply) if b"Subject: slow" in octets else reply

    def verifier(self, name: str) -> Verifier | Awaitable[Verifier]:
        return SECRET if name == "alice" else Verifier.decoy(name, b"key")

    def sink(self) -> Sink:
        self.sinks.append(MemorySink())
        return self.sinks[-1]

    def _answer(self, mailbox: Mailbox | None, yes: Reply) -> Reply | Awaitable[Reply]:
        match mailbox.local if mailbox else "":
            case "refuse":
                return Reply(550, "5.7.1", "Refused by policy")
            case "later":
                return Reply(451, "4.7.1", "Try again later")
            case "trouble":
                raise RuntimeError(TROUBLE)
            case "slow":
                return _later(yes)
            case _:
                return yes


async def _later(reply: Reply) -> Reply:
    await asyncio.sleep(0.02)
    return reply
