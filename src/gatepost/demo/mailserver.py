"""A small mail server for one company: takes its people's mail to the gateway, keeps theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from gatepost.mail.address import Mailbox
from gatepost.mail.content import Content, Octets, join
from gatepost.mail.delivery import NextHop
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.net.application import SessionInfo, Sink
from gatepost.net.listener import Listener
from gatepost.net.relay import Relay
from gatepost.net.settings import EdgeSettings
from gatepost.net.sink import MemorySink
from gatepost.smtp.settings import ServerSettings

Arrived = Callable[[Mailbox, bytes], None]


class MailServer:
    """Mailboxes in memory behind an SMTP listener on loopback."""

    def __init__(self, hostname: str, domain: str, arrived: Arrived) -> None:
        self.domain = domain
        self.mailboxes: dict[str, list[bytes]] = defaultdict(list)
        self._arrived = arrived
        self._relay = Relay(hostname)
        settings = EdgeSettings(ServerSettings(hostname), listener="mail server")
        self._listener = Listener(self, settings, host="127.0.0.1", port=0)

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        return self._listener.port

    async def start(self) -> None:
        """Listen on a free loopback port."""
        await self._listener.start()

    async def stop(self) -> None:
        """Close everything."""
        await self._listener.stop()
        await self._relay.close()

    async def submit(self, gateway: int, author: str, recipient: str, content: bytes) -> Reply:
        """Hand a mail to the gateway as Postfix would to its relayhost; gives its reply."""
        envelope = Envelope(Mailbox.parse(author), (Recipient(Mailbox.parse(recipient)),))
        hop = NextHop("127.0.0.1", gateway, tls="none")
        (attempt,) = await self._relay.deliver(hop, envelope, Octets(content))
        return attempt.reply

    def admit(self, _session: SessionInfo) -> None:
        """Let anybody in: this is loopback."""

    def sender(self, _session: SessionInfo, _envelope: Envelope) -> Reply:
        """Accept every sender."""
        return Reply(250, "2.1.0", "Ok")

    def recipient(self, _session: SessionInfo, _envelope: Envelope, recipient: Recipient) -> Reply:
        """Accept people of this company."""
        if recipient.mailbox.domain_key != self.domain:
            return Reply(550, "5.1.1", "No such mailbox here")
        return Reply(250, "2.1.5", "Ok")

    def message(self, _session: SessionInfo, envelope: Envelope, content: Content) -> Reply:
        """Put the message into every recipient's mailbox."""
        octets = join(content)
        for recipient in envelope.recipients:
            self.mailboxes[recipient.mailbox.key].append(octets)
            self._arrived(recipient.mailbox, octets)
        return Reply(250, "2.0.0", "Ok")

    def sink(self) -> Sink:
        """The demo's mails fit into memory."""
        return MemorySink()
