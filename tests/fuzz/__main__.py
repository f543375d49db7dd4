"""Coverage-guided fuzzing: `python -m tests.fuzz TARGET [--cpu-minutes N]`.

Starts from the committed corpus and what earlier runs found (build/fuzz); ends after so much
CPU time, or exits 1 naming the file with the input that broke the target's promise or took
over three seconds (one, without the instruments).  `--minimise` writes the corpus anew from
all of them and the target's seeds; `TARGET FILE…` runs single inputs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NoReturn, cast

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]  # no stubs, not everywhere
from tests.fuzz.targets import NAMES, SHARED, Target

CORPUS = Path(__file__).parent / "corpus"
# Of CPU time, for one input: instrumented code takes three times as long.
LONGEST = 3.0
LENGTH = 16 * 1024
EVERY = 256  # …so many inputs one has a piece…
STRETCHED = 32 * 1024  # …repeated to about this size
MEMORY = 2048  # MiB
CORPUS_LIMIT = 300 * 1024
SHARED_LIMIT = 100 * 1024
CORPUS_FILES = 500


def load(name: str) -> Target:
    """The target's module, our code in it instrumented."""
    with atheris.instrument_imports(include=["gatepost"]):
        return cast("Target", import_module(f"tests.fuzz.targets.{name}"))


class Campaign:
    """Runs a target until its CPU time is used up, or it finds something."""

    def __init__(
        self, name: str, target: Callable[[bytes], None], minutes: float, work: Path
    ) -> None:
        self.name = name
        self.work = work
        self.target = target
        self.limit = minutes * 60
        self.count = 0

    def one(self, octets: bytes) -> None:
        """One input, as libFuzzer makes them; now and then one with a piece of it stretched."""
        self.run(octets)
        self.count += 1
        if self.count % EVERY == 0:
            self.run(stretched(octets, random.Random(self.count)))
        if (used := time.process_time()) > self.limit:
            self.end(f"nothing found in {used / 60:.1f} CPU minutes", 0)

    def run(self, octets: bytes) -> None:
        """One input; one that takes long is timed again, for the machine may be busy."""
        took = self.timed(octets)
        if took > LONGEST and (took := min(self.timed(octets) for _ in range(3))) > LONGEST:
            self.end(f"finding: {took:.1f} s for {self.keep(octets)}", 1)

    def timed(self, octets: bytes) -> float:
        """Seconds of CPU time one input takes."""
        began = time.process_time()
        try:
            self.target(octets)
        except BaseException:  # noqa: BLE001 - whatever it is, it is a finding
            traceback.print_exc()
            self.end(f"finding: {self.keep(octets)}", 1)
        return time.process_time() - began

    def keep(self, octets: bytes) -> Path:
        """Keep an input that broke the target."""
        path = self.work / f"{self.name}-{hashlib.sha256(octets).hexdigest()[:12]}"
        path.write_bytes(octets)
        return path

    def end(self, said: str, code: int) -> NoReturn:
        """Tell, and leave as libFuzzer does: at once."""
        print(f"{self.name}: {said}, {self.count} inputs", flush=True)  # noqa: T201 - a tool
        sys.stderr.flush()
        os._exit(code)


def stretched(octets: bytes, chance: random.Random) -> bytes:
    """The input with one piece of it many times: what takes more than linear time shows."""
    start = chance.randrange(len(octets) + 1)
    stop = chance.randint(start, min(len(octets), start + chance.choice((2, 20, 200))))
    piece = octets[start:stop]
    return octets[:start] + piece * (STRETCHED // (len(piece) or 1)) + octets[stop:]


def fuzz(name: str, minutes: float, work: Path, seed: int) -> None:
    """Run until the time is used up or something is found."""
    module = load(name)
    grown = sow(work / name, module)
    words = work / f"{name}.dict"
    words.write_text("".join(f'"{quoted(one)}"\n' for one in module.WORDS))
    limits = [f"-max_len={LENGTH}", f"-rss_limit_mb={MEMORY}", "-timeout=60", f"-seed={seed}"]
    kept = [f"-dict={words}", f"-artifact_prefix={work}/{name}-", "-print_final_stats=0"]
    campaign = Campaign(name, module.target, minutes, work)
    folders = [str(one) for one in (grown, CORPUS / name) if one.is_dir()]
    libfuzzer([name, *limits, *kept, *folders], campaign.one)


def libfuzzer(arguments: list[str], target: Callable[[bytes], None]) -> NoReturn:
    """Run it; the process ends there."""
    atheris.Setup(arguments, target)
    atheris.Fuzz()
    raise SystemExit


def quoted(word: bytes) -> str:
    """A word in libFuzzer's dictionary."""
    return "".join(f"\\x{octet:02x}" for octet in word)


def sow(folder: Path, module: Target) -> Path:
    """The folder where what is found grows; a new one gets the target's seeds."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        for octets in module.seeds():
            (folder / hashlib.sha256(octets).hexdigest()[:12]).write_bytes(octets)
    return folder


def minimise(name: str, work: Path) -> None:
    """Write the corpus anew: the smallest inputs that together reach what all of them reach."""
    merged = work / f"{name}.merged"
    merged.mkdir(exist_ok=True)
    for old in merged.iterdir():
        old.unlink()
    if (pid := os.fork()) == 0:
        grown = (sow(work / name, load(name)), CORPUS / name)
        again = f"{sys.executable} -m tests.fuzz {name} --"  # libFuzzer runs itself by a shell
        folders = [str(one) for one in (merged, *grown) if one.is_dir()]
        libfuzzer([again, "-merge=1", f"-max_len={LENGTH}", *folders], load(name).target)
    os.waitpid(pid, 0)
    chosen(sorted(merged.iterdir(), key=lambda path: path.stat().st_size), CORPUS / name)


def chosen(paths: list[Path], folder: Path) -> None:
    """As many as the limits allow, the smallest first."""
    inputs = {path.name[:12]: path.read_bytes() for path in paths[:CORPUS_FILES]}
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    room = SHARED_LIMIT if folder.name in SHARED else CORPUS_LIMIT
    for name, octets in inputs.items():
        room -= len(octets)
        if room > 0:
            (folder / name).write_bytes(octets)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("files", nargs="*", help="single inputs; after --, libFuzzer's arguments")
    parser.add_argument("--cpu-minutes", type=float, default=30.0)
    parser.add_argument("--work", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--minimise", action="store_true")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.minimise:
        minimise(given.target, given.work)
    elif any(one.startswith("-") for one in given.files):
        libfuzzer([given.target, *given.files], load(given.target).target)
    elif given.files:
        campaign = Campaign(given.target, load(given.target).target, given.cpu_minutes, given.work)
        for one in given.files:
            campaign.run(Path(one).read_bytes())
    else:
        fuzz(given.target, given.cpu_minutes, given.work, given.seed)


if __name__ == "__main__":
    main()
