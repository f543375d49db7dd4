"""kill -9 under load: what was acknowledged arrives, and nobody finds it in clear.

GATEPOST_CRASH_ROUNDS makes it run longer than continuous integration has time for.
"""

import base64
import logging
import os
import re
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Self

import pytest
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter
from tests.peers.mailbox import Mailbox
from tests.peers.postfix import free_port

ROUNDS = int(os.environ.get("GATEPOST_CRASH_ROUNDS", "5"))
CLIENTS = 12
IN_FLIGHT = 20  # transactions with one hop at a time: what a kill may have delivered unnoticed
US, UK = "xyz.us.example", "xyz.co.uk.example"
ALICE, BOB = f"alice@{US}", f"bob@{UK}"
MARKER = b"the-price-is-2.4-million"
MANDATORY = '[defaults]\nencrypt = "mandatory"\n'
SIZES = (300, 10_000, 10_000, 400_000)  # the last one is too large for memory
pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 12 * ROUNDS)]


class Load:
    """Clients that keep submitting; whatever the server says or does, they go on."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.acknowledged: list[str] = []
        self.tried = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(CLIENTS)]

    def _run(self, number: int) -> None:
        choice = Random(number)
        while not self._stop.is_set():
            with (
                suppress(OSError, smtplib.SMTPException),
                smtplib.SMTP("127.0.0.1", self.port, timeout=20) as client,
            ):
                for _ in range(10):  # then another connection, perhaps to another worker
                    if not self._stop.is_set():
                        self._submit(client, choice)
            self._stop.wait(0.02)

    def _submit(self, client: smtplib.SMTP, choice: Random) -> None:
        line = MARKER + b" " + b"x" * 50 + b"\r\n"
        letter = Letter(ALICE, BOB, "Load", line * (choice.choice(SIZES) // len(line)))
        self.tried += 1
        client.sendmail(ALICE, [BOB], letter.octets)
        self.acknowledged.append(letter.id)  # list.append is atomic

    def wait_for_more(self, count: int) -> None:
        """Return once so many more mails were acknowledged."""
        enough = len(self.acknowledged) + count
        _until(lambda: len(self.acknowledged) >= enough)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_kill_the_gateway(lab: Lab) -> None:
    """250 means safe, even when the power goes; sealed means sealed, even then."""
    sink, us, uk = _companies(lab)
    choice = Random(ROUNDS)
    us.start()
    with Load(us.port) as load:
        for _ in range(ROUNDS):
            load.wait_for_more(30)
            time.sleep(choice.uniform(0, 0.5))
            us.kill()
            _assert_sealed(us.state)
            us.start()
    _assert_all_arrive(load, sink, us)
    _report(load, sink, killed=ROUNDS)
    _assert_sealed(us.state)
    _assert_readable(sink, uk)


def test_kill_one_of_two_workers(lab: Lab) -> None:
    """A worker that dies is started again and delivers what its predecessor accepted."""
    sink, us, _ = _companies(lab, edits={"# workers = 1": "workers = 2"})
    rounds = max(2, ROUNDS // 2)
    us.start()
    with Load(us.port) as load:
        for round_ in range(rounds):
            load.wait_for_more(30)
            oldest, _ = _children(us)
            os.kill(oldest, 9)
            us.wait_for("service.error", round_ + 1, code=-9)
            _until(lambda: len(_children(us)) == 2)
    _assert_all_arrive(load, sink, us)
    _report(load, sink, killed=rounds)
    assert load.tried > len(load.acknowledged)  # the dead worker had work


def _companies(lab: Lab, **more: dict[str, str]) -> tuple[Mailbox, Gateway, Gateway]:
    """Alice's gateway, ready but not started, which must encrypt to Bob and can."""
    sink = lab.mailbox(delay=0.01)
    us = lab.planned(US, free_port(), sink.port, **more)
    uk = lab.planned(UK, free_port(), free_port())
    us.trust(uk)
    us.policy(MANDATORY)
    uk.command("cert", "issue", BOB, "--kind", "encrypt")
    path = us.folder / "bob.pem"
    uk.command("cert", "export", BOB, "--output", str(path))
    us.command("cert", "import", str(path))
    return sink, us, uk


def _assert_all_arrive(load: Load, sink: Mailbox, us: Gateway) -> None:
    wanted = set(load.acknowledged)
    deadline = time.monotonic() + 60
    while (missing := wanted - _ids(sink).keys()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not missing, f"{len(missing)} of {len(wanted)} acknowledged mails did not arrive"
    _until(us.queue_is_empty)


def _report(load: Load, sink: Mailbox, *, killed: int) -> None:
    found = _ids(sink)
    doubled = sum(found.values()) - len(found)
    unasked = len(found.keys() - set(load.acknowledged))
    figures = {
        "tried": load.tried,
        "acknowledged": len(load.acknowledged),
        "arrived": len(found),
        "arrived though not acknowledged": unasked,
        "arrived twice": doubled,
        "kills": killed,
    }
    logging.getLogger(__name__).info("%s", figures)  # pytest --log-cli-level=info
    assert doubled <= killed * IN_FLIGHT
    assert unasked <= killed * CLIENTS


def _assert_sealed(state: Path) -> None:
    """No file holds the text, nor its base64 at any of the three alignments."""
    for path in state.rglob("*"):
        if path.is_file():
            _assert_absent(path.read_bytes(), str(path))


def _assert_absent(octets: bytes, where: str) -> None:
    assert MARKER not in octets, f"clear text in {where}"
    for shift in range(3):
        coded = base64.b64encode(b"?" * shift + MARKER)[4:-4]
        assert coded not in octets, f"base64 of the clear text in {where}"


def _assert_readable(sink: Mailbox, uk: Gateway) -> None:
    """What the sink got is ciphertext, whole, and opens with Bob's key."""
    for mail in sink.mails:
        _assert_absent(mail.content, "what left")
        assert b"application/pkcs7-mime" in mail.content
    for mail in sink.mails[:: max(1, len(sink.mails) // 10)]:
        sealed, opened = uk.folder / "sealed.eml", uk.folder / "opened.eml"
        sealed.write_bytes(mail.content)
        opened.unlink(missing_ok=True)
        uk.command("decrypt", str(sealed), "--as", BOB, "--output", str(opened))
        assert MARKER in opened.read_bytes()


def _ids(sink: Mailbox) -> Counter[str]:
    pattern = re.compile(rb"^Message-ID: (<[^>]+>)", re.MULTILINE)
    mails = list(sink.mails)
    return Counter(found[1].decode() for one in mails if (found := pattern.search(one.content)))


def _children(gateway: Gateway) -> list[int]:
    assert gateway.process is not None
    pid = gateway.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return sorted(map(int, children.split()))


def _until(done: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.02)
