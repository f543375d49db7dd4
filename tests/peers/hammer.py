"""Clients that connect, send one mail and leave, again and again, while something is done to the gateway."""

from __future__ import annotations

import smtplib

from tests.patience import PATIENCE, until
from tests.peers.letter import Letter
from tests.peers.senders import Senders


class Hammer(Senders):
    """What was taken, what was to come again later (451), and every other trouble is kept."""

    def __init__(self, port: int, sender: str, to: str, clients: int = 4) -> None:
        super().__init__(clients)
        self.port, self.sender, self.to = port, sender, to
        self.sent: list[str] = []
        self.deferred: list[str] = []
        self.trouble: list[str] = []

    def _run(self, _number: int) -> None:
        while not self._stop.is_set():
            letter = Letter(self.sender, self.to, "Load", b"x\r\n")
            try:
                with smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE) as client:
                    client.sendmail(self.sender, [self.to], letter.octets)
            except smtplib.SMTPResponseException as error:
                (self.deferred if error.smtp_code == 451 else self.trouble).append(repr(error))
            except (OSError, smtplib.SMTPException) as error:
                self.trouble.append(repr(error))
            else:
                self.sent.append(letter.id)
            self._stop.wait(0.02)  # the gateway needs the machine, too

    def more(self, count: int = 10) -> None:
        """Return once so many more mails were taken."""
        enough = len(self.sent) + count
        until(lambda: len(self.sent) >= enough or bool(self.trouble))
