"""Starts peers for a test, stops them in reverse order, and shows their logs when it fails."""

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from tests.peers.gateway import Gateway
from tests.peers.letter import Letter, submit
from tests.peers.mailbox import Mailbox
from tests.peers.postfix import Postfix
from tests.peers.tap import Tap

SHOWN = 20_000  # characters of each log


class Talkative(Protocol):
    """A peer with a log."""

    folder: Path

    @property
    def log(self) -> str:
        """Everything it has logged."""
        ...


RUNNING: list[Talkative] = []  # of this test process


@dataclass
class Lab:
    """Peers in one temporary folder; postfix needs one it can walk into."""

    _stack: ExitStack = field(default_factory=ExitStack)
    _gateways: list[Gateway] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="lab-")))
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            codes = {one.domain: one.stop() for one in reversed(self._gateways)}
            for one in self._gateways:
                RUNNING.remove(one)
                assert "Traceback" not in one.log, one.log_of()
            assert not any(codes.values()), f"exit codes {codes}"

    def gateway(self, domain: str, mail_server: int, relay: int, **more: Any) -> Gateway:
        """A gateway set up and started."""
        made = self.planned(domain, mail_server, relay, **more)
        made.start()
        return made

    def planned(self, domain: str, mail_server: int, relay: int, **more: Any) -> Gateway:
        """A gateway set up but not started."""
        return self.empty(domain, mail_server, relay, **more).set_up()

    def empty(self, domain: str, mail_server: int, relay: int, **more: Any) -> Gateway:
        """A gateway of which there is only a name."""
        folder = self.folder / f"{domain}-{len(self._gateways)}"
        made = Gateway(folder, domain, mail_server, relay, **more)
        self._gateways.append(made)
        RUNNING.append(made)
        return made

    def twin(self, other: Gateway) -> Gateway:
        """A second node of a gateway whose database is shared: its keys, a port of its own."""
        folder = self.folder / f"{other.domain}-{len(self._gateways)}"
        folder.mkdir()
        made = Gateway(folder, other.domain, other.mail_server, other.relay)
        for path in other.folder.glob("*.*em"):
            shutil.copy(path, folder)
        shutil.copy(other.folder / "vault.key", folder)
        text = other.config.read_text().replace(str(other.folder), str(folder))
        made.config.write_text(text.replace(f":{other.port}", f":{made.port}"))
        made.state.mkdir(mode=0o700)
        self._gateways.append(made)
        RUNNING.append(made)
        return made

    def postfix(self, name: str, port: int, **more: Any) -> Postfix:
        """A running Postfix."""
        made = Postfix(self.folder / name, port, **more)
        RUNNING.append(made)
        self._stack.callback(RUNNING.remove, made)
        return self._stack.enter_context(made)

    def mailbox(self, port: int | None = None, **more: Any) -> Mailbox:
        """A running mail server that keeps what it gets."""
        return self._stack.enter_context(Mailbox(port, **more))

    def tap(self, target: int) -> Tap:
        """An eavesdropper before a port."""
        made = Tap(target, self.folder / f"tap-{target}")
        return self._stack.enter_context(made)


def logs() -> str:
    """The logs of everything that runs, shortened."""
    return "\n".join(f"── {one.folder.name} ──\n{one.log[-SHOWN:]}" for one in RUNNING)


def introduce(stranger: Gateway, sender: str, gateway: Gateway, recipient: str) -> None:
    """Have `gateway` learn the sender's certificate from a signed mail through `stranger`."""
    before = len(gateway.events("delivery.done", to=recipient))
    submit(stranger.port, Letter(sender, recipient, "Good morning", b"My first mail.\r\n"))
    gateway.wait_for("certificate.harvested", address=sender)
    gateway.wait_for("delivery.done", before + 1, to=recipient)
