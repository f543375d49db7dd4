"""SMTP smuggling through the real listener: what is inside one mail stays inside it."""

import itertools
import logging
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from tests.crash.test_kill import ALICE, US
from tests.patience import PATIENCE
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter, submit
from tests.peers.mailbox import Mailbox

EVIL = "admin@sender.example"
INNER = (
    f"MAIL FROM:<{EVIL}>\r\nRCPT TO:<{ALICE}>\r\nDATA\r\nSubject: SMUGGLED\r\n\r\nboo\r\n.\r\n"
).encode()
ENDS = (b"\n", b"\r", b"\r\n", b"\0", b"\r\r\n", b"\n\r")
OPEN = f"EHLO mx.sender.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<{ALICE}>\r\n".encode()
pytestmark = [pytest.mark.slow, pytest.mark.corpus]


def attacks(corpus: Path) -> list[bytes]:
    """The corpus's contents, and every false end of data made of odd line ends."""
    found = [one.read_bytes() for one in sorted((corpus / "smtp-smuggling" / "msg").iterdir())]
    assert found
    made = [
        b"Subject: outer\r\n\r\nlegit" + before + b"." + after + INNER
        for before, after in itertools.product(ENDS, repeat=2)
        if b"\r\n.\r\n" not in before + b"." + after  # which truly ends a mail
    ]
    return found + made


def play(port: int, octets: bytes, step: int) -> bytes:
    """Send it all in pieces, whatever is answered; returns every answer."""
    said = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client,
        suppress(ConnectionError),  # it may hang up on one that goes on talking
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(octets), step):
            client.sendall(octets[at : at + step])
        client.shutdown(socket.SHUT_WR)
        while piece := client.recv(65536):
            said += piece
    return said


@pytest.mark.parametrize("bare", ["reject", "normalise"])
def test_smuggling(lab: Lab, corpus: Path, bare: str) -> None:
    """A forged mail inside a real one would leave with our reputation."""
    home = lab.mailbox()
    edits = {"[vault]": f'[limits]\nbare_newlines = "{bare}"\n\n[vault]'}
    us = lab.gateway(US, home.port, home.port, edits=edits)
    transactions = 0
    for content in attacks(corpus):
        by_data = OPEN + b"DATA\r\n" + content + b"\r\n.\r\nQUIT\r\n"
        by_chunk = OPEN + b"BDAT %d LAST\r\n" % len(content) + content + b"QUIT\r\n"
        for octets, step in itertools.product((by_data, by_chunk), (len(by_data), 37)):
            play(us.port, octets, step)
            transactions += 1
    judge(us, home, transactions)


def judge(us: Gateway, home: Mailbox, transactions: int) -> None:
    """Never more mails than were opened, none of the inner sender, none with a bare line end."""
    last = Letter(ALICE, ALICE)
    assert submit(us.port, last) == {}
    home.wait_for(last.id)
    others = [one for one in home.mails if one.sender != ALICE]
    figures = {"transactions": transactions, "arrived": len(others)}
    logging.getLogger(__name__).info("%s", figures)
    assert len(others) <= transactions
    assert {one.sender for one in others} <= {"a@sender.example"}
    for one in others:
        rest = one.content.replace(b"\r\n", b"")
        assert b"\r" not in rest
        assert b"\n" not in rest
        assert b"\0" not in rest
