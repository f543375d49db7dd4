"""Every fuzz target: its corpus, some mutations of it, long inputs, and where atheris is, a while of it.

What a coverage-guided run of half an hour found worth keeping is tried in every run of the tests.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import pytest
from tests.fuzz.targets import NAMES, SHARED, Target

CORPUS = Path(__file__).parent / "corpus"
ROOT = Path(__file__).parents[2]
MUTATIONS = 200
LONG = 40_000


def load(name: str) -> Target:
    """The target's module."""
    return cast("Target", import_module(f"tests.fuzz.targets.{name}"))


@pytest.mark.parametrize("name", NAMES)
def test_corpus(name: str) -> None:
    """An input that once broke a reader, or came near, breaks it again."""
    target = load(name)
    inputs = sorted((CORPUS / name).iterdir())
    assert len(inputs) > 20
    for path in inputs:
        octets = path.read_bytes()
        try:
            target.target(octets)
        except Exception as error:
            error.add_note(str(path))
            raise


@pytest.mark.parametrize("name", NAMES)
def test_mutations(name: str) -> None:
    """A hostile message stops the gateway, or is shown as signed by Alice."""
    target, chance = load(name), random.Random(20260601)
    inputs, words = sorted((CORPUS / name).iterdir()), list(target.WORDS)
    for _ in range(MUTATIONS):
        octets = mutated(chance.choice(inputs).read_bytes(), words, chance)
        try:
            target.target(octets)
        except Exception as error:
            error.add_note(octets.hex())
            raise


def mutated(octets: bytes, words: list[bytes], chance: random.Random) -> bytes:
    """Some octets flipped, cut, doubled or replaced by telling words."""
    changed = bytearray(octets or b"\0")
    for _ in range(chance.randint(1, 5)):
        start = chance.randrange(len(changed) + 1)
        stop = min(len(changed), start + chance.randint(1, 24))
        match chance.randrange(4):
            case 0 if start < len(changed):
                changed[start] ^= 1 << chance.randrange(8)
            case 1:
                del changed[start:stop]
            case 2:
                changed[start:start] = changed[start:stop]
            case _:
                changed[start:stop] = chance.choice(words)
    return bytes(changed)


BEGINNINGS = (
    *(b"", b"From: ", b"Authentication-Results: ", b"Content-Type: multipart/x; boundary=b; "),
    *(
        b"Content-Type: text/plain\r\n\r\n\xff",
        b'Content-Type: multipart/x; boundary="b b"\r\n\r\n',
    ),
)
PIECES = (
    *(b"\r\n", b"\n", b"\r", b"--b b", b"--", b"=?", b"?=", b"=", b'"', b"(", b")", b"<", b">"),
    *(b"@", b";", b":", b",", b"\\", b"*", b"%", b"'", b"\xff", b"\0", b" ", b"multipart/"),
    *(b"message/rfc822", b"base64", b"quoted-printable", b"=?a?q?", b"a@b,", b"(\\", b";a=", b";3"),
    *(b'"\\', b"a*1*=x;", b"--b b\r\n", b"\r\n--b"),
)


@pytest.mark.parametrize("piece", PIECES)
def test_repetition_takes_linear_time(piece: bytes) -> None:
    """A mail of a megabyte keeps a worker busy for an hour."""
    for name in ("mime", "header"):
        target = load(name)
        for beginning in BEGINNINGS:
            began = time.process_time()
            target.target(beginning + piece * (LONG // len(piece)) + b"\r\n\r\n")
            assert time.process_time() - began < 3


@pytest.mark.parametrize("name", SHARED)
def test_seeds(name: str) -> None:
    """A campaign begins with what no reader understands, and finds nothing for want of depth."""
    target = load(name)
    seeds = list(target.seeds())
    assert len(seeds) > 10
    for octets in seeds:
        target.target(octets)


# The others are as much code again to be instrumented, which takes longer than the search.
BRIEFLY = (*(one for one in NAMES if one not in SHARED), "vault")


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this Python")
@pytest.mark.parametrize("name", BRIEFLY)
def test_a_while_of_fuzzing(name: str, tmp_path: Path) -> None:
    """The campaigns of half an hour (`make fuzz`) no longer start, or find something at once."""
    command = [sys.executable, "-m", "tests.fuzz", name, "--cpu-minutes", "0.06", "--seed", "1"]
    made = subprocess.run(
        [*command, "--work", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=100,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr[-4000:]
    assert f"{name}: nothing found" in made.stdout
