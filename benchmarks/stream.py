"""One large mail through the real path: signed and encrypted, then decrypted and verified.

Run as `python -m benchmarks.stream MEBIBYTES FOLDER [--opaque] [--cbc] [--eight-bit]`, in
a process of its own: what is measured is by how much the peak of its resident memory grows.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.world import ANCHORS, THEIRS, World, facts, incoming, only, outgoing

from benchmarks.memory import MIB, peak_reset, resident
from gatepost.engine.intake import split
from gatepost.flow import inbound, outbound
from gatepost.flow.verdict import Continue, Outcome
from gatepost.mail.content import Content
from gatepost.mail.message import Message
from gatepost.store.spool import Spool
from gatepost.vault.kek import generate_file
from gatepost.vault.seal import Sealer

BOB, ALICE = "bob@partner.example", "alice@xyz.example"
HEADER = (
    f"From: Bob <{BOB}>\r\nTo: Alice <{ALICE}>\r\nSubject: Large\r\n"
    "MIME-Version: 1.0\r\nContent-Type: application/octet-stream; name=large\r\n"
)
ENCODINGS = {False: "Content-Transfer-Encoding: base64\r\n", True: ""}
LINE = b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\r\n"


@dataclass(frozen=True)
class Passage:
    """What one direction took."""

    growth: int  # octets
    seconds: float


def measured(mebibytes: int, *options: str) -> dict[str, Passage]:
    """Both directions in a new process; raises when the mail did not arrive as it was sent."""
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as folder:
        flags = [f"--{name}" for name in options]
        command = [sys.executable, "-m", "benchmarks.stream", str(mebibytes), folder, *flags]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {name: Passage(**one) for name, one in json.loads(done.stdout).items()}


def main() -> None:
    """Measure both directions."""
    mebibytes, folder, flags = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    spool = Spool(folder, Sealer(generate_file(folder / "key"), "spool"))
    eight_bit = "--eight-bit" in flags
    body = _written(spool, mebibytes * MIB, b"\xc3\xa4" + LINE if eight_bit else LINE)
    found: dict[str, dict[str, float]] = {}
    header = HEADER + ENCODINGS[eight_bit]
    sent = _passing(found, "sign and encrypt", lambda: _kept(spool, _sent(header, body, flags)))
    taken = _passing(found, "decrypt and verify", lambda: _kept(spool, _taken(sent)))
    if not eight_bit:
        assert _digest(_parted(taken)[1]) == _digest(body), "the mail arrived changed"
    print(json.dumps(found))


def _passing(found: dict[str, dict[str, float]], name: str, step: Callable[[], Content]) -> Content:
    peak_reset()
    before, start = resident("self", "VmRSS"), time.perf_counter()
    made = step()
    growth = resident("self") - before
    found[name] = {"growth": growth, "seconds": time.perf_counter() - start}
    return made


def _sent(header: str, body: Content, flags: list[str]) -> Outcome:
    policy = '[defaults]\nsign = "always"\nencrypt = "mandatory"\n'
    if "--opaque" in flags:
        policy += 'form = "opaque"\n'
    readers = {"readers": [ALICE]} if "--cbc" in flags else {"modern": [ALICE]}
    known = facts(signers=[BOB], **readers)  # type: ignore[arg-type]  # by name
    world = World.under(policy, known, domains=frozenset({THEIRS}), hostname="gate.partner.example")
    message = replace(outgoing(header + "\r\n", ALICE, sender=BOB), body=body)
    return only(world.drive(message, outbound.STAGES))


def _taken(content: Content) -> Outcome:
    header, body = _parted(content)
    message: Message = replace(incoming(header + b"\r\n", ALICE), body=body)
    known = facts(openers=[ALICE], anchors={THEIRS: ANCHORS})
    outcome = only(World.under("", known).drive(message, inbound.STAGES))
    results = outcome.message.header.split(b"\r\nSubject", 1)[0]
    assert b"smime=pass" in results, results
    assert b"decrypted aes" in results, results
    return outcome


def _kept(spool: Spool, outcome: Outcome) -> Content:
    """The message on disk, as the queue keeps it."""
    assert outcome.verdict == Continue(), outcome.verdict
    return spool.open(*spool.persist(outcome.message.content))


def _parted(content: Content) -> tuple[bytes, Content]:
    return split(content)


def _written(spool: Spool, size: int, line: bytes) -> Content:
    sink, block = spool.sink(), line * 1000
    for _ in range(size // len(block)):
        sink.write(block)
    return sink.finish()


def _digest(content: Content) -> bytes:
    running = hashlib.sha256()
    for chunk in content.chunks():
        running.update(chunk)
    return running.digest()


if __name__ == "__main__":
    main()
