"""Clients that keep submitting; whatever the server says or does, they go on."""

import smtplib
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

from tests.crash.secret import text
from tests.patience import PATIENCE, until
from tests.peers.letter import Letter
from tests.peers.senders import Senders

CLIENTS = 20
SIZES = (300, 10_000, 10_000, 400_000)  # the last one is too large for memory


Place = tuple[str, int]


class Load(Senders):
    """Remembers what was acknowledged."""

    def __init__(
        self,
        *places: Place,
        sender: str,
        to: str,
        sizes: tuple[int, ...] = SIZES,
        is_enough: Callable[[int], bool] = lambda _: False,
    ) -> None:
        super().__init__(CLIENTS)
        self.acknowledged: list[str] = []
        self.tried = 0
        self._places = places
        self._sender, self._to, self._sizes = sender, to, sizes
        self._is_enough = is_enough  # told how many are acknowledged: whether to wait a little

    def _run(self, number: int) -> None:
        choice = Random(number)
        host, port = self._places[number % len(self._places)]
        while not self._stop.is_set():
            with (
                suppress(OSError, smtplib.SMTPException),
                smtplib.SMTP(host, port, timeout=20) as client,
            ):
                for _ in range(10):  # then another connection, perhaps to another worker
                    if not self._stop.is_set() and not self._is_enough(len(self.acknowledged)):
                        self._submit(client, choice)
            self._stop.wait(0.02)

    def _submit(self, client: smtplib.SMTP, choice: Random) -> None:
        letter = Letter(self._sender, self._to, "Load", text(choice.choice(self._sizes)))
        self.tried += 1
        client.sendmail(self._sender, [self._to], letter.octets)
        self.acknowledged.append(letter.id)  # list.append is atomic

    def wait_for_more(self, count: int) -> None:
        """Return once so many more mails were acknowledged."""
        enough = len(self.acknowledged) + count
        until(lambda: len(self.acknowledged) >= enough)


def submitted(place: Place, sender: str, to: str) -> int:
    """Submit one mail; the code of the answer, 0 when nobody answers."""
    host, port = place
    try:
        with smtplib.SMTP(host, port, timeout=10) as client:
            client.sendmail(sender, [to], Letter(sender, to).octets)
    except smtplib.SMTPResponseException as error:
        return error.smtp_code
    except (OSError, smtplib.SMTPException):
        return 0
    return 250


def while_growing(size: Callable[[], int], done: Callable[[], bool], seconds: float = 60) -> None:
    """Return once it is done; fails when for so long nothing has come."""
    seen, deadline = -1, 0.0
    while not done():
        if (now := size()) != seen:
            seen, deadline = now, time.monotonic() + max(seconds, PATIENCE)
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.05)
