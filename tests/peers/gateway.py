"""A real `gatepost serve`: set up by `gatepost init`, run as a process of its own.

Everything is in one folder; the log is kept there, whatever happens.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.patience import PATIENCE
from tests.peers.postfix import free_port

from gatepost.cli.run import run

__all__ = ["PATIENCE", "Event", "Gateway", "call", "children", "keeps_keys", "offspring"]
Event = dict[str, Any]


@dataclass
class Gateway:
    """One gateway of one domain.  `edits` changes the configuration that init wrote."""

    folder: Path
    domain: str
    mail_server: int
    relay: int
    port: int = field(default_factory=free_port)
    hop_tls: str = "none"  # of the hop towards the world
    federation: int = 0  # port of the web's side; 0: it gets to know nobody
    edits: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()  # words before the command, which become it

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "gatepost.toml"

    @property
    def state(self) -> Path:
        """The folder of queue and database."""
        return self.folder / "state"

    @property
    def name(self) -> str:
        """The gateway's host name."""
        return f"gatepost.{self.domain}"

    # ── commands ─────────────────────────────────────────────────────────────────────

    def set_up(self) -> Self:
        """Run `gatepost init` and change what the test wants otherwise."""
        self.folder.mkdir(parents=True, exist_ok=True)
        places = ("--config", str(self.config), "--state", str(self.state))
        ports = ("--listen", _local(self.port), "--mail-server", _local(self.mail_server))
        federation = _local(self.federation) if self.federation else "off"
        ways = ("--relay", _local(self.relay), "--federation", federation)
        call("init", self.domain, "--yes", "--json", *places, *ports, *ways)
        world = f'outbound = {{ host = "127.0.0.1", port = {self.relay}, tls = "{self.hop_tls}" }}'
        self.edit({f'outbound = "{_local(self.relay)}"': world, **self.edits})
        return self

    def edit(self, edits: Mapping[str, str]) -> None:
        """Replace lines of the configuration."""
        text = self.config.read_text()
        for old, new in edits.items():
            assert old in text, f"{old!r} is not in the configuration"
            text = text.replace(old, new, 1)
        self.config.write_text(text)

    def command(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command on this gateway; returns its standard output."""
        return call(*arguments, "--config", str(self.config), codes=codes)

    def asked(self, *arguments: str) -> Any:
        """Run a command with --json; returns what it says."""
        return json.loads(self.command(*arguments, "--json", codes=(0, 1)))

    def trust(self, other: "Gateway") -> None:
        """Make the other company a partner: its CA counts for its domain."""
        authority = self.folder / f"{other.domain}-ca.pem"
        if not authority.exists():
            other.command("cert", "export", "ca", "--output", str(authority))
        self.command("partner", "add", other.domain, "--ca", str(authority))

    def policy(self, text: str) -> None:
        """Put a policy in force."""
        path = self.folder / "policy.toml"
        path.write_text(text)
        self.command("policy", "apply", str(path))

    # ── the process ──────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        if not self.config.exists():
            self.set_up()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it listens."""
        assert self.process is None
        gateway = tomllib.loads(self.config.read_text())["gateway"]
        wanted = len(self.events("service.started")) + gateway.get("workers", 1)
        with self.log_file.open("ab") as log:
            log.write(b"\n")  # a kill may have cut the last line
            log.flush()
            self.process = subprocess.Popen(
                [
                    *self.wrapper,
                    sys.executable,
                    "-m",
                    "gatepost",
                    "serve",
                    "--config",
                    str(self.config),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "GATEPOST_LOG_FORMAT": "json", **self.environment},
            )
        _until(lambda: len(self.events("service.started")) >= wanted or not self.alive, self.log_of)
        assert self.alive, f"{self.domain} did not start:\n{self.log}"

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> int:
        """Ask it to stop (SIGTERM); returns the exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(max(40.0, PATIENCE))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.domain} does not stop:\n{self.log}") from None

    def kill(self) -> None:
        """End it without a chance to say anything (SIGKILL)."""
        process, self.process = self.process, None
        assert process is not None
        workers = offspring(process.pid)
        process.kill()
        for worker in workers:  # they would finish their work, as nobody killed them
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        process.wait()

    # ── what it says ─────────────────────────────────────────────────────────────────

    @property
    def log_file(self) -> Path:
        """Where it logs."""
        return self.folder / "serve.log"

    @property
    def log(self) -> str:
        """Everything it has logged."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def log_of(self) -> str:
        """The log under a heading, for failures."""
        return f"── log of {self.domain} ──\n{self.log}"

    def events(self, name: str = "", **fields: object) -> list[Event]:
        """The events logged so far with these fields."""
        found = [one for line in self.log.splitlines() if (one := _event(line))]
        return [
            one
            for one in found
            if (not name or one.get("event") == name)
            and all(one.get(key) == value for key, value in fields.items())
        ]

    def wait_for(
        self, name: str, count: int = 1, seconds: float = PATIENCE, **fields: object
    ) -> list[Event]:
        """The events, once there are so many."""
        _until(lambda: len(self.events(name, **fields)) >= count, self.log_of, seconds)
        return self.events(name, **fields)

    def queue_is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self.asked("queue", "list")


def children(pid: int) -> list[int]:
    """The workers that this one started and that still run, oldest first."""
    return [one for one in offspring(pid) if not keeps_keys(one)]


def offspring(pid: int) -> list[int]:
    """The same with the key process."""
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def keeps_keys(pid: int) -> bool:
    """Whether this is a key process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text() == "gatepost-keys\n"
    return False


def call(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    """Run a Gatepost command line in this process; returns its standard output."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    assert code in codes, f"{' '.join(arguments)} → {code}\n{out.getvalue()}{err.getvalue()}"
    return out.getvalue()


def _event(line: str) -> Event:
    """The event of a line; nothing for one not yet written whole.

    The kernel may cut a killed process's last line at a page's end; another process's
    first then stands right behind it.
    """
    for start in (0, line.rfind('{"')):
        with contextlib.suppress(ValueError):
            if isinstance(found := json.loads(line[start:]), dict):
                return found
    return {}


def _until(done: Any, said: Any, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain\n{said()}"
        time.sleep(0.05)


def _local(port: int) -> str:
    return f"127.0.0.1:{port}"
