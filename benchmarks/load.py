"""Postfix's own load tools: smtp-source in front, smtp-sink behind, time until the last mail."""

import subprocess
import time
from dataclasses import dataclass

SOURCE, SINK = "/usr/sbin/smtp-source", "/usr/sbin/smtp-sink"
AUTHOR, READER = "a@x.test", "b@y.test"


@dataclass(frozen=True)
class Rate:
    """Messages a second: taken over, and arrived behind."""

    accepted: float
    arrived: float


def blast(port: int, sink_port: int, *, messages: int, size: int, sessions: int) -> Rate:
    """Send that many messages of that many octets; raises when one is refused or missing."""
    sink = subprocess.Popen(
        [SINK, "-u", "nobody", "-M", str(messages), f"127.0.0.1:{sink_port}", "500"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.2)
        start = time.perf_counter()
        source = [SOURCE, "-d", "-s", str(sessions), "-m", str(messages), "-l", str(size)]
        subprocess.run(
            [*source, "-f", AUTHOR, "-t", READER, f"127.0.0.1:{port}"],
            check=True,
            capture_output=True,
            timeout=300,
        )
        accepted = time.perf_counter() - start
        sink.wait(timeout=300)
        arrived = time.perf_counter() - start
    finally:
        sink.kill()
        sink.wait()
    return Rate(messages / accepted, messages / arrived)
