"""The command line as a whole: help, errors, exit codes."""

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from tests.unit.cli.conftest import Gatepost

from gatepost.cli import run as running
from gatepost.cli.app import app
from gatepost.config import load
from gatepost.errors import GatepostError, Unavailable

COMMAND = [sys.executable, "-m", "gatepost"]


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found += commands(command, (*path, name))
        else:
            found.append((" ".join((*path, name)), command))
    return found


EVERY = commands(typer.main.get_command(app))


def test_help_is_fast() -> None:
    """Somebody who types a command to see what there is waits.

    Processor time, not wall time: other tests run beside this one.
    """
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([*COMMAND, "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert b"Set up" in done.stdout
    assert min(times) < 0.25


def test_help_loads_nothing_heavy() -> None:
    """Help becomes slow by an import nobody noticed."""
    code = (
        "import sys; from gatepost.cli.run import run; run(['--help']); "
        "print([m for m in ('pydantic', 'sqlalchemy', 'cryptography', 'starlette', 'rich', "
        "'asyncio') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(("name", "command"), EVERY, ids=[name for name, _ in EVERY])
def test_every_command_explains_itself_and_speaks_json(name: str, command: Any) -> None:
    """A command cannot be understood by a person or used by a program."""
    assert (command.help or "").strip().split("\n")[0].rstrip().endswith((".", "`).", ")"))
    options = {text for one in command.params for text in one.opts}
    if name != "serve":
        assert "--json" in options
    undocumented = [
        one.name for one in command.params if not one.help and not getattr(one, "hidden", False)
    ]
    assert undocumented == []


def test_no_command_prints_help(gatepost: Gatepost) -> None:
    """`gatepost` alone does nothing visible."""
    ran = gatepost()
    assert "Set up" in ran.out + ran.err


def test_version(gatepost: Gatepost) -> None:
    """A report of a fault cannot say which version."""
    assert gatepost("--version").out.startswith("gatepost 0.")


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("check", "--nonsense"), ("cert", "nonsense"), ("explain",), ("init",)],
)
def test_usage_errors(gatepost: Gatepost, arguments: tuple[str, ...]) -> None:
    """A typing error looks like success to a script."""
    ran = gatepost(*arguments)
    assert ran.code == 2
    assert "Usage:" in ran.err
    assert "Traceback" not in ran.err


def test_a_near_command_is_suggested(gatepost: Gatepost) -> None:
    """A typing error sends people to the manual."""
    assert "Did you mean 'check'" in gatepost("chek").err


def failing(error: BaseException) -> Any:
    def call(_: object) -> int:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (GatepostError("the moon is full", hint="wait"), 2, "gatepost: the moon is full\n  → wait"),
        (Unavailable(), 2, "gatepost: A service needed for this is unavailable now"),
        (FileNotFoundError(2, "No such file", "/x"), 2, "gatepost: /x: No such file"),
        (ZeroDivisionError("by zero"), 2, "internal error: ZeroDivisionError: by zero\n  → run"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_failures_are_sentences(
    gatepost: Gatepost,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    expected: str,
) -> None:
    """An administrator reads a traceback instead of a reason."""
    monkeypatch.setattr(running, "_call", failing(error))
    ran = gatepost("check")
    assert ran.code == code
    assert expected in ran.err
    assert "Traceback" not in ran.err


def test_failures_in_json(gatepost: Gatepost, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that asked for JSON gets prose."""
    monkeypatch.setattr(running, "_call", failing(GatepostError("no", hint="do")))
    assert gatepost("check", "--json").data == {"error": "no", "hint": "do"}


def test_debug_shows_the_traceback(gatepost: Gatepost, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in the program cannot be found."""
    monkeypatch.setattr(running, "_call", failing(ZeroDivisionError("by zero")))
    with pytest.raises(ZeroDivisionError):
        gatepost("check", "--debug")


def test_a_reader_that_leaves_is_no_error(home: Path) -> None:
    """`gatepost … | head` ends in a traceback."""
    done = subprocess.run(
        f"{sys.executable} -m gatepost config schema | head -n 1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "GATEPOST_CONFIG": str(home / "gatepost.toml")},
    )
    assert "Traceback" not in done.stderr
    assert done.stdout.split()[-1] in {"0", "141"}


def test_without_configuration(
    gatepost: Gatepost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A first command on a fresh machine does not say what to do first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEPOST_CONFIG", raising=False)
    monkeypatch.setattr(sys.modules[load.__module__], "PLACES", ("gatepost.toml",))
    ran = gatepost("cert", "list")
    assert ran.code == 2
    assert "gatepost init" in ran.err


@pytest.mark.parametrize(
    "arguments", [("trace",), ("queue", "list", "--state", "odd"), ("nonsense",), ("mailq", "--no")]
)
def test_usage_errors_in_json(gatepost: Gatepost, arguments: tuple[str, ...]) -> None:
    """A program that asked for JSON gets a usage text for people."""
    ran = gatepost(*arguments, "--json")
    assert ran.code == 2
    assert ran.data["error"]
    assert ran.data["hint"].startswith("gatepost")


def test_every_check_explained_in_json(gatepost: Gatepost) -> None:
    """Several JSON values behind each other are none."""
    assert {"id", "title", "explanation"} == set(
        gatepost("check", "--explain", "all", "--json").data[0]
    )


def test_an_error_cannot_drive_the_terminal(gatepost: Gatepost, home: Path) -> None:
    """An identifier pasted from a log colours the terminal or types into it."""
    assert "\x1b" not in gatepost("trace", "\x1b[31mred").err


@pytest.mark.parametrize(
    ("redirection", "environment"),
    [(">&-", {}), ("> /dev/full", {}), ("", {"PYTHONIOENCODING": "ascii"})],
)
def test_an_output_that_cannot_be_written(
    home: Path, redirection: str, environment: dict[str, str]
) -> None:
    """A closed or full standard output, or one for ASCII only, ends in an internal error."""
    done = subprocess.run(
        f"{sys.executable} -m gatepost policy history {redirection}",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "GATEPOST_CONFIG": str(home / "gatepost.toml")} | environment,
    )
    assert done.returncode in {0, 2}
    assert "internal error" not in done.stderr
    assert "Exception" not in done.stderr


def test_an_argument_that_is_no_text(gatepost: Gatepost, home: Path) -> None:
    """A byte of another alphabet ends in an internal error."""
    ran = gatepost("cert", "list", "\udcff")
    assert ran.code == 2
    assert "not UTF-8" in ran.err
