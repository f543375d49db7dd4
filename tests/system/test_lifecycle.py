"""Reload and restart while mail pours in: nobody is refused, nothing is lost."""

import os
import signal
import smtplib
import subprocess
import sys

import pytest
from tests.patience import PATIENCE, until
from tests.peers.gateway import children
from tests.peers.hammer import Hammer
from tests.peers.lab import Lab
from tests.peers.letter import Letter, submit
from tests.peers.postfix import free_port

HERE, THERE = "xyz.us.example", "xyz.co.uk.example"
ALICE, BOB = f"alice@{HERE}", f"bob@{THERE}"
PLAIN = '[defaults]\nsign = "never"\nencrypt = "never"\n'


@pytest.mark.slow
@pytest.mark.timeout(300)  # ten new processes, one after the other
@pytest.mark.parametrize(
    ("workers", "verbs"),
    [(1, ("restart",)), (2, ("reload", "restart", "reload", "restart", "reload"))],
)
def test_nobody_is_refused(lab: Lab, workers: int, verbs: tuple[str, ...]) -> None:
    """An administrator must wait for the night to change a setting or to upgrade."""
    sink = lab.mailbox()
    edits = {"# workers = 1": f"workers = {workers}"}
    gateway = lab.planned(HERE, free_port(), sink.port, edits=edits)
    gateway.policy(PLAIN)
    gateway.start()
    assert gateway.process is not None
    before = gateway.process.pid
    with Hammer(gateway.port, ALICE, BOB) as hammer:
        hammer.more()
        for verb in verbs:
            said = gateway.asked(verb)
            assert said["done"] == verb
            assert said["process"] == before
            assert len(said["workers"]) == workers
            hammer.more()
    assert (hammer.trouble, hammer.deferred) == ([], [])
    until(lambda: len(sink.mails) >= len(hammer.sent))
    arrived = sink.counted()
    assert [one for one in hammer.sent if arrived[one] != 1] == []
    # Those who ended have left nothing behind.
    until(gateway.queue_is_empty)
    until(lambda: len(children(before)) == workers)
    assert len(gateway.events("service.reloaded")) == len(verbs)


def test_client_under_way(lab: Lab) -> None:
    """A reload changes the limits under a client's feet, or cuts its message off."""
    sink = lab.mailbox()
    gateway = lab.gateway(HERE, free_port(), sink.port)
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=30) as client:
        client.ehlo("mail.test")
        client.mail(ALICE)
        old = client.esmtp_features["size"]
        gateway.edit(
            {'# message_size = "100MiB"': 'message_size = "1MiB"', "# [limits]": "[limits]"}
        )
        gateway.command("reload")
        client.rcpt(BOB)
        letter = Letter(ALICE, BOB, body=b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 20_000)
        assert client.data(letter.octets)[0] == 250  # larger than the new limit
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=30) as client:
        client.ehlo("mail.test")
        assert (old, client.esmtp_features["size"]) == (str(100 << 20), str(1 << 20))
    sink.wait_for(letter.id)


def test_wrong_configuration(lab: Lab) -> None:
    """A typing mistake takes the gateway down, or nobody hears of it."""
    sink = lab.mailbox()
    gateway = lab.gateway(HERE, free_port(), sink.port)
    right = gateway.config.read_text()
    taken = lab.mailbox().port
    listener = f'\n[[listener]]\nbind = "127.0.0.1:{taken}"\ndirection = "inbound"\n'
    wrong = {
        "colour": right.replace("[gateway]", '[gateway]\ncolour = "red"'),
        "tls-key.pem": right.replace("tls-key.pem", "gone/tls-key.pem"),
        "cannot be opened": right + listener,
        "cannot move": right.replace("state = ", 'state = "elsewhere" # '),
    }
    for reason, text in wrong.items():
        gateway.config.write_text(text)
        count = len(gateway.events("service.error", service="reload"))
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGHUP)
        said = gateway.wait_for("service.error", count + 1, service="reload")[-1]
        assert reason in said["reason"]
        assert said["reason"].endswith("the old configuration stays in force")
        gateway.command("reload", codes=(2,))
    letter = Letter(ALICE, BOB)
    submit(gateway.port, letter)  # still here
    sink.wait_for(letter.id)
    # Nor does a worker that dies take the wrong one.
    assert gateway.process is not None
    pid = gateway.process.pid
    until(lambda: len(children(pid)) == 1)  # those that began in vain have ended
    (worker,) = children(pid)
    os.kill(worker, signal.SIGKILL)
    gateway.wait_for("service.started", 2)
    submit(gateway.port, Letter(ALICE, BOB))
    gateway.config.write_text(right)
    gateway.command("reload")


def test_listeners_and_workers_change(lab: Lab) -> None:
    """A further port needs an interruption, one that is gone stays open."""
    sink = lab.mailbox()
    gateway = lab.gateway(HERE, free_port(), sink.port)
    further = free_port()
    right = gateway.config.read_text()
    listener = f'\n[[listener]]\nbind = "127.0.0.1:{further}"\ndirection = "inbound"\n'
    gateway.config.write_text(right.replace("# workers = 1", "workers = 2") + listener)
    assert len(gateway.asked("reload")["workers"]) == 2
    for port in (gateway.port, further):
        smtplib.SMTP("127.0.0.1", port, timeout=30).close()
    gateway.config.write_text(right)
    assert len(gateway.asked("reload")["workers"]) == 1
    until(lambda: not _answers(further))
    assert _answers(gateway.port)


def test_second_supervisor(lab: Lab) -> None:
    """Two gateways on one state folder would each take half of the mail for the other's."""
    gateway = lab.gateway(HERE, free_port(), free_port())
    text = gateway.config.read_text().replace(f":{gateway.port}", f":{free_port()}")
    other = gateway.folder / "other.toml"
    other.write_text(text)
    command = [sys.executable, "-m", "gatepost", "serve", "--config", str(other)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    said = done.stderr
    assert done.returncode == 2
    assert "another gatepost serve already works on" in said
    assert "gatepost reload" in said


def test_no_gateway(lab: Lab) -> None:
    """`gatepost reload` says nothing, and the administrator believes it was done."""
    gateway = lab.planned(HERE, free_port(), free_port())
    for verb in ("reload", "restart"):
        said = gateway.command(verb, "--json", codes=(2,))
        assert "no gateway runs on" in said


def _answers(port: int) -> bool:
    try:
        smtplib.SMTP("127.0.0.1", port, timeout=30).close()
    except OSError:
        return False
    return True
