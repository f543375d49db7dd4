"""Many large mails at the same time, in little memory."""

import logging
import resource
import smtplib
import threading
import time

import pytest
from tests.crash.load import while_growing
from tests.crash.scale import FULL, scaled
from tests.crash.test_kill import ALICE, BOB, MANDATORY, UK, US
from tests.load.drain import Drain
from tests.load.memory import MIB, Peak
from tests.peers.gateway import children
from tests.peers.lab import Lab
from tests.peers.letter import Letter
from tests.peers.postfix import free_port

COUNT = scaled(4, 200, "large")
SIZE = 25 * MIB
MOST = 300 * MIB  # whatever the number of mails
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800 if FULL else 300)]
_log = logging.getLogger(__name__)


def test_large_mails(lab: Lab) -> None:
    """Two hundred people send their holiday pictures, and the kernel ends the gateway."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    with Drain() as world:
        us = lab.planned(US, free_port(), world.port)
        uk = lab.planned(UK, free_port(), free_port())
        us.trust(uk)
        us.policy(MANDATORY)
        uk.command("cert", "issue", BOB, "--kind", "encrypt")
        uk.command("cert", "export", BOB, "--output", str(us.folder / "bob.pem"))
        us.command("cert", "import", str(us.folder / "bob.pem"))
        us.edit({"[vault]": "[limits]\nconnections = 1000\nconnections_per_peer = 1000\n\n[vault]"})
        us.start()
        assert us.process is not None
        body = (b"x" * 76 + b"\r\n") * (SIZE // 78)
        octets = Letter(ALICE, BOB, "Pictures", body).octets
        first = octets.index(b"Message-ID: <") + len(b"Message-ID: <")
        answers: list[int] = []
        ready = threading.Barrier(COUNT)

        def send(number: int) -> None:
            ready.wait()
            with smtplib.SMTP("127.0.0.1", us.port, timeout=1800) as client:
                client.ehlo("people.test")
                client.mail(ALICE)
                client.rcpt(BOB)
                client.docmd("DATA")
                assert client.sock is not None
                view = memoryview(octets)
                client.sock.sendall(octets[:first] + f"{number}.".encode())
                for at in range(first, len(view), 1 << 18):
                    client.sock.sendall(view[at : at + (1 << 18)])
                client.sock.sendall(b"\r\n.\r\n")
                answers.append(client.getreply()[0])

        threads = [threading.Thread(target=send, args=(number,)) for number in range(COUNT)]
        begun = time.monotonic()
        with Peak([us.process.pid, *children(us.process.pid)]) as peak:
            for one in threads:
                one.start()
            for one in threads:
                one.join()
            accepted = time.monotonic() - begun
            while_growing(lambda: len(world.ids), lambda: len(world.ids) == COUNT, 120)
    figures = {
        "mails": COUNT,
        "MiB each": SIZE // MIB,
        "accepted": answers.count(250),
        "delivered": len(world.ids),
        "seconds until accepted": round(accepted),
        "memory before MiB": peak.before // MIB,
        "memory grew MiB": peak.growth // MIB,
    }
    _log.info("%s", figures)
    assert answers == [250] * COUNT
    assert world.clear == 0
    assert peak.growth < MOST
