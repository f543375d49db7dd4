"""What systemd hears and hands over: states, sockets, the watchdog."""

import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import peer
from tests.patience import PATIENCE, until
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter, submit
from tests.peers.postfix import free_port

HERE = "xyz.us.example"
ALICE, BOB = f"alice@{HERE}", "bob@xyz.co.uk.example"


class Manager:
    """The socket that systemd would listen at."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{path[1:]}" if path.startswith("@") else path)
        self._socket.settimeout(PATIENCE)

    def hear(self) -> dict[str, str]:
        """The next message."""
        text = self._socket.recv(4096).decode()
        return dict(line.split("=", 1) for line in text.split("\n"))

    def hear_but(self, *words: str) -> dict[str, str]:
        """The next message without any of these."""
        while words and set(words) & (said := self.hear()).keys():
            pass
        return said

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    """One with an abstract name, as systemd itself uses in containers."""
    made = Manager(f"@gatepost-test-{os.getpid()}-{free_port()}")
    yield made
    made.close()


def test_states(lab: Lab, manager: Manager) -> None:
    """`systemctl start` returns before mail is taken, `systemctl reload` before it is done."""
    gateway = lab.planned(HERE, free_port(), free_port())
    gateway.environment = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "1500000"}
    gateway.start()
    said = manager.hear_but("WATCHDOG")
    assert said["READY"] == "1"
    assert f"127.0.0.1:{gateway.port}" in said["STATUS"]
    assert manager.hear() == {"WATCHDOG": "1"}
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGHUP)
    said = manager.hear_but("WATCHDOG")
    assert said["RELOADING"] == "1"
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert before <= int(said["MONOTONIC_USEC"]) <= after
    assert manager.hear_but("WATCHDOG")["READY"] == "1"
    right = gateway.config.read_text()
    gateway.config.write_text("[gateway\n")
    gateway.process.send_signal(signal.SIGHUP)
    assert manager.hear_but("WATCHDOG")["RELOADING"] == "1"
    said = manager.hear_but("WATCHDOG")
    assert said["READY"] == "1"  # or systemd would wait for it until the time-out
    assert said["STATUS"] == "reload failed, the old configuration stays in force"
    gateway.config.write_text(right)
    gateway.process.send_signal(signal.SIGUSR2)
    assert manager.hear_but("WATCHDOG")["RELOADING"] == "1"
    assert manager.hear_but("WATCHDOG")["READY"] == "1"
    assert manager.hear() == {"WATCHDOG": "1"}  # the successor does it too
    gateway.stop()
    assert manager.hear_but("WATCHDOG")["STOPPING"] == "1"


@pytest.mark.parametrize("program", ["own", "systemd-socket-activate"])
def test_socket_activation(lab: Lab, program: str) -> None:
    """Mail that comes while the machine starts is refused, or port 25 needs root."""
    if program != "own":
        peer(program)
    sink = lab.mailbox()
    other = free_port()
    gateway = lab.planned(HERE, free_port(), sink.port)
    with gateway.config.open("a") as file:
        file.write(f'\n[[listener]]\nbind = "127.0.0.1:{other}"\ndirection = "inbound"\n')
    start = _own if program == "own" else _systemds
    with start(gateway, other) as process:
        letter = Letter(ALICE, BOB)
        submit(gateway.port, letter)  # the kernel takes the connection, nobody refuses it
        sink.wait_for(letter.id)
        with smtplib.SMTP("127.0.0.1", other, timeout=30) as client:
            assert client.ehlo()[0] == 250
        gateway.command("reload")
        gateway.command("restart")
        for port in (gateway.port, other):
            with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
                assert client.ehlo()[0] == 250
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert not gateway.events("service.error")


@contextmanager
def _own(gateway: Gateway, other: int) -> Iterator[subprocess.Popen[bytes]]:
    """Bind, listen and start, as systemd does; named by listener and in another order."""
    sockets = [socket.create_server(("127.0.0.1", port)) for port in (other, gateway.port)]
    numbers = [one.fileno() for one in sockets]
    script = (
        "import os, sys\n"
        f"for place, number in enumerate({numbers}, 103): os.dup2(number, place)\n"
        "for place in (3, 4): os.dup2(place + 100, place)\n"
        "os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )
    names = {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "inbound:both"}
    with gateway.log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", script, "-m", "gatepost", "serve", "--config", gateway.config],
            stderr=log,
            pass_fds=numbers,
            env={**os.environ, "GATEPOST_LOG_FORMAT": "json", **names},
        )
    for one in sockets:
        one.close()
    with _ending(process):
        yield process


@contextmanager
def _systemds(gateway: Gateway, other: int) -> Iterator[subprocess.Popen[bytes]]:
    """The tool of systemd: starts with the first connection; sockets are known by address."""
    with gateway.log_file.open("ab") as log:
        process = subprocess.Popen(
            [
                "systemd-socket-activate",
                *(f"--listen=127.0.0.1:{port}" for port in (other, gateway.port)),
                "--setenv=GATEPOST_LOG_FORMAT=json",
                *(f"--setenv={name}" for name in ("PATH", "HOME") if name in os.environ),
                sys.executable,
                "-m",
                "gatepost",
                "serve",
                "--config",
                str(gateway.config),
            ],
            stderr=log,
        )
    with _ending(process):
        listens = f"0100007F:{gateway.port:04X} 00000000:0000 0A"
        until(lambda: listens in Path("/proc/net/tcp").read_text())
        yield process


@contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE)
