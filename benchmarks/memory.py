"""Peak resident memory of a gateway while one large mail passes through it."""

import socket
import subprocess
import time
from pathlib import Path

from benchmarks.load import AUTHOR, READER, SINK

MIB = 1 << 20
LINE = b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\r\n"


def peak_reset(pid: int | str = "self") -> None:
    """Begin to look for the peak (VmHWM) anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def resident(pid: int | str, key: str = "VmHWM") -> int:
    """A figure of /proc/PID/status in octets."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise LookupError(key)


def growth(pid: int, port: int, sink_port: int, size: int) -> int:
    """Octets by which the peak grew over what was resident before one mail of that size."""
    sink = subprocess.Popen(
        [SINK, "-u", "nobody", "-M", "1", f"127.0.0.1:{sink_port}", "50"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.3)
        peak_reset(pid)
        before = resident(pid, "VmRSS")
        _send(port, size)
        sink.wait(timeout=120)
        return resident(pid) - before
    finally:
        sink.kill()
        sink.wait()


def _send(port: int, size: int) -> None:
    block = LINE * 1000
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        replies = connection.makefile("rb")
        _expect(replies.readline(), b"220")
        for command, code in (
            (b"HELO bench.test", b"250"),
            (b"MAIL FROM:<%s>" % AUTHOR.encode(), b"250"),
            (b"RCPT TO:<%s>" % READER.encode(), b"250"),
            (b"DATA", b"354"),
        ):
            connection.sendall(command + b"\r\n")
            _expect(replies.readline(), code)
        head = b"From: <%s>\r\nTo: <%s>\r\nSubject: large\r\nMIME-Version: 1.0\r\n"
        connection.sendall(head % (AUTHOR.encode(), READER.encode()) + b"\r\n")
        for _ in range(size // len(block)):
            connection.sendall(block)
        connection.sendall(b".\r\n")
        _expect(replies.readline(), b"250")


def _expect(reply: bytes, code: bytes) -> None:
    if not reply.startswith(code):
        raise RuntimeError(f"expected {code.decode()}, got {reply.decode().strip()}")
