"""What it costs that private keys are in a process of their own: one signature here and there.

Run as `python -m benchmarks.keys`: five seconds, one line of JSON for each kind of key.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gatepost.cms.capability import SignatureScheme
from gatepost.vault.client import Client, Remote
from gatepost.vault.custody import Safe, generate
from gatepost.vault.desk import Desk
from gatepost.vault.kek import Kek
from gatepost.vault.seal import Sealer
from gatepost.vault.server import Server
from gatepost.vault.software import SoftwareKey
from gatepost.vault.token import Algorithm

DATA = b"x" * 300  # as large as signed attributes
SECONDS = 1.2  # for each
KINDS: tuple[tuple[Algorithm, SignatureScheme], ...] = (
    ("rsa2048", SignatureScheme("rsa-pkcs1")),
    ("p256", SignatureScheme("ecdsa")),
)


def main() -> None:
    """Measure in this process and through the socket."""
    safe = Safe(Sealer(Kek(os.urandom(32)), "benchmark"))
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as folder:
        path = str(Path(folder) / "keys")
        process = _served(path, safe)
        try:
            client = Client(lambda: _connected(path))
            for algorithm, scheme in KINDS:
                key = generate(algorithm)
                here, there = SoftwareKey(key), Remote(client).open(*safe.seal(key)).holder
                print(
                    json.dumps(
                        {
                            "key": algorithm,
                            "here": _measured(lambda: here.sign(DATA, scheme)),  # noqa: B023
                            "there": _measured(lambda: there.sign(DATA, scheme)),  # noqa: B023
                        }
                    )
                )
            client.close()
        finally:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _measured(act: Callable[[], bytes]) -> dict[str, float]:
    """Microseconds of the median call, and of this process's own time for one."""
    times, end = [], time.perf_counter() + SECONDS
    own = time.process_time()
    while (began := time.perf_counter()) < end:
        act()
        times.append(time.perf_counter() - began)
    own = (time.process_time() - own) / len(times)
    return {"median": round(statistics.median(times) * 1e6, 1), "own": round(own * 1e6, 1)}


def _served(path: str, safe: Safe) -> int:
    """A process that lends these keys."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(16)
    pid = os.fork()
    if not pid:
        Server(listening, Desk(safe, {})).start()
        while True:
            signal.pause()
    listening.close()
    return pid


def _connected(path: str) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    line.connect(path)
    return line


if __name__ == "__main__":
    main()
