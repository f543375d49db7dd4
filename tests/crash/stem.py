"""Starts gateways from a process that has everything imported: a start costs 0.2 s, not 2.

`python -m tests.crash.stem CONFIG` forks a whole gateway for every line it reads, says its
process id and "ready".
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import ROOT
from tests.patience import PATIENCE
from tests.peers.gateway import Gateway

from gatepost.config import load
from gatepost.engine.journal import configure_log
from gatepost.engine.service import Service


class Stem:
    """The other end: starts and kills one gateway of a configuration."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._log = gateway.log_file.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.stem", str(gateway.config)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "GATEPOST_LOG_FORMAT": "json", **gateway.environment},
        )
        self._child = 0

    def start(self) -> None:
        """Return when it takes mail."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("start\n")
        self._process.stdin.flush()
        self._child = int(self._process.stdout.readline())
        said = self._process.stdout.readline().strip()
        assert said == "ready", self._gateway.log_of()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it; by default without a chance to say anything."""
        child, self._child = self._child, 0
        if not child:
            return
        os.kill(child, number)
        end = time.monotonic() + PATIENCE
        while Path(f"/proc/{child}").exists():
            assert time.monotonic() < end, "the gateway does not end"
            time.sleep(0.002)

    def close(self) -> None:
        """End everything."""
        self.kill(signal.SIGTERM)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._log.close()


async def _serve(config: Path) -> None:
    settings = load(config)
    configure_log("json", "warning")
    service = Service(settings)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await service.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await stop.wait()
    await service.stop()


def main(config: Path) -> None:
    """Fork a gateway for every line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    while sys.stdin.readline():
        child = os.fork()
        if not child:
            sys.stdout.write(f"{os.getpid()}\n")
            sys.stdout.flush()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asyncio.run(_serve(config))
            os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
