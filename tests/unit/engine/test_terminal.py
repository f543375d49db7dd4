"""A passphrase typed at the terminal of a process that has one."""

import os
import pty
import subprocess
import sys

import pytest

from gatepost.errors import KeyUnavailable
from gatepost.vault.kek import Kek, KekSource, load, replace_file
from gatepost.vault.wrap import Locked, Passphrase, Typed

ASK = """
from gatepost.engine import terminal
try:
    print("said", terminal.ask("Passphrase", is_new={}))
except Exception as error:
    print(type(error).__name__)
"""


def answered(typed: bytes, *, is_new: bool) -> bytes:
    """What a process says that asks at a terminal where this is typed."""
    pid, terminal = pty.fork()
    if not pid:
        os.execv(sys.executable, [sys.executable, "-c", ASK.format(is_new)])
    seen = b""
    for line in typed.splitlines(keepends=True):
        while not seen.endswith(b": "):
            seen += os.read(terminal, 4096)
        os.write(terminal, line)
        seen += os.read(terminal, 4096)
    while True:
        try:
            octets = os.read(terminal, 4096)
        except OSError:  # EIO: it has ended
            break
        if not octets:
            break
        seen += octets
    os.close(terminal)
    os.waitpid(pid, 0)
    return seen


def test_typed() -> None:
    """Whoever starts the gateway by hand could not open its vault."""
    seen = answered(b"correct horse\n", is_new=False)
    assert b"said correct horse" in seen
    assert seen.count(b"correct horse") == 1  # nobody behind the chair reads it


def test_new_ones_are_typed_twice() -> None:
    """A slip of the finger locks the vault for ever."""
    assert b"said correct horse" in answered(b"correct horse\n" * 2, is_new=True)
    assert b"ConfigError" in answered(b"correct horse\ncorrect hours\n", is_new=True)
    assert b"ConfigError" in answered(b"short\n", is_new=True)


def test_no_terminal() -> None:
    """A service would wait for somebody to type where nobody can."""
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(False)],
        capture_output=True,
        text=True,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    assert done.stdout == "Locked\n"


def test_asked_once_and_again_when_wrong(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A command asks for each time it reads the key, or never again after a slip."""
    path = tmp_path_factory.mktemp("vault") / "key"
    path.touch(0o600)
    kek = Kek(bytes(range(32)))
    replace_file(path, kek, Passphrase("correct horse", cost=4))
    answers = ["wrong", "correct horse"]
    asked: list[bool] = []

    def ask(is_new: bool) -> str:
        asked.append(is_new)
        if not answers:
            raise Locked
        return answers.pop(0)

    typed = Typed(ask)
    source = KekSource("file", str(path))
    with pytest.raises(KeyUnavailable, match="not the one the key is wrapped with"):
        load(source, wrap=typed)
    assert load(source, wrap=typed) == kek
    assert load(source, wrap=typed) == kek
    assert asked == [False, False]
    with pytest.raises(Locked):
        load(source, wrap=Typed(ask))
