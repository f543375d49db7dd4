"""A mail server that keeps what it gets: aiosmtpd, an SMTP implementation not our own."""

import asyncio
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from tests.patience import PATIENCE
from tests.peers.postfix import free_port

LIMIT = 200 << 20
_ID = re.compile(rb"^Message-ID:\s*(<[^>]+>)", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mail:
    """One transaction."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    options: tuple[str, ...] = ()


class Lenient(SMTP):
    """Takes lines of any length (RFC 5321 section 4.5.3.1.6 allows 1000 octets)."""

    line_length_limit = 1 << 24


class LenientController(Controller):
    """Serves with `Lenient`."""

    def factory(self) -> SMTP:
        """The protocol of one connection."""
        return Lenient(self.handler, **self.SMTP_kwargs)


class Mailbox:
    """Accepts every mail, after `delay` seconds; `lenient` ones with lines too long as well."""

    def __init__(
        self,
        port: int | None = None,
        *,
        delay: float = 0.0,
        lenient: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.port = port or free_port()
        self.delay = delay
        self.mails: list[Mail] = []
        self._lock = threading.Lock()
        self._controller = (LenientController if lenient else Controller)(
            self,
            hostname=host,
            port=self.port,
            server_hostname="mailbox.test",
            data_size_limit=LIMIT,
            enable_SMTPUTF8=True,
        )

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's name
        """Keep the mail."""
        if self.delay:
            await asyncio.sleep(self.delay)
        content = envelope.original_content or b""
        options = tuple(map(str, envelope.mail_options))
        mail = Mail(
            (envelope.mail_from or "").strip("<>"), tuple(envelope.rcpt_tos), content, options
        )
        with self._lock:
            self.mails.append(mail)
        return "250 2.0.0 kept"

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering; a second time does nothing."""
        if not self._controller.loop.is_closed():
            self._controller.stop(no_assert=True)

    def with_id(self, message_id: str) -> list[Mail]:
        """The mails whose header has this Message-ID."""
        with self._lock:
            mails = list(self.mails)
        sought = message_id.encode()
        return [one for one in mails if sought in one.content.partition(b"\r\n\r\n")[0]]

    def counted(self) -> Counter[str]:
        """How often each Message-ID came."""
        with self._lock:
            mails = list(self.mails)
        found = (_ID.search(one.content) for one in mails)
        return Counter(one[1].decode() for one in found if one)

    def wait_for(self, message_id: str, count: int = 1, seconds: float = PATIENCE) -> list[Mail]:
        """Those mails, once there are so many."""
        deadline = time.monotonic() + seconds
        while len(found := self.with_id(message_id)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{len(found)} of {count} mails with {message_id} came; {len(self.mails)} in all"
                )
            time.sleep(0.05)
        return found
