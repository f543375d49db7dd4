"""Run a command line: every failure is one sentence and an exit code, never a traceback.

0 good | 1 a warning or a negative result | 2 an error.  `--debug` anywhere shows the traceback.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import typer

from gatepost.cli import show
from gatepost.errors import GatepostError, Unavailable

GOOD, NEGATIVE, ERROR = 0, 1, 2
MAILQ = frozenset({"mailq", "gatepost-mailq"})
INTERRUPTED = 130  # 128 + SIGINT, as shells count


def called(path: str, arguments: Sequence[str]) -> list[str]:
    """The arguments, led by the command if we were called by its name: a link named mailq."""
    return ["mailq", *arguments] if Path(path).name in MAILQ else list(arguments)


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code."""
    debug = "--debug" in arguments or os.environ.get("GATEPOST_DEBUG") == "1"
    rest = [one for one in arguments if one != "--debug"]
    _ready_streams()
    if debug:
        return _call(rest)
    try:
        return _call(rest)
    except GatepostError as error:
        return _fail(str(error), hint(error), rest)
    except BrokenPipeError:
        _abandon_output()
        return GOOD
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # Click's answer to one
            _abandon_output()
            return GOOD
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        then = "run as root or as the gateway's user" if isinstance(error, PermissionError) else ""
        return _fail(f"{where}{error.strerror or error}", then, rest)
    except UnicodeEncodeError:
        return _fail("an argument holds octets that are not UTF-8 text", "", rest)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last line of defence against tracebacks
        what = f"internal error: {type(error).__name__}: {error}"
        return _fail(what, "run the same command with --debug and report what it prints", rest)


def _call(arguments: list[str]) -> int:
    from gatepost.cli.app import app  # noqa: PLC0415  its import errors are to be caught as well

    try:
        result = app(arguments, prog_name="gatepost", standalone_mode=False)
    except typer.Abort:
        sys.stderr.write("\nstopped, nothing was changed\n")
        return NEGATIVE
    except typer.TyperException as error:
        return _usage(error, arguments)
    finally:
        sys.stdout.flush()
    return result if isinstance(result, int) else GOOD


def _ready_streams() -> None:
    """Let no terminal's alphabet and no closed stream end a command half-way."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who called us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _abandon_output() -> None:
    """What could not be written is not tried again when Python ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: typer.TyperException, arguments: Sequence[str]) -> int:
    context = getattr(error, "ctx", None)
    if "--json" in arguments:
        path = context.command_path if context is not None else "gatepost"
        return _fail(error.format_message(), f"{path} --help", arguments)
    shown = getattr(error, "show", None)
    if callable(shown):
        shown()
    else:
        sys.stderr.write(f"{error.format_message()}\n")
    return ERROR


def hint(error: GatepostError) -> str:
    """The next command, for errors that have an obvious one."""
    if isinstance(given := error.fields.get("hint"), str):
        return given
    return "gatepost check says more" if isinstance(error, Unavailable) else ""


def _fail(what: str, then: str, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        with suppress(OSError):  # a full disk: standard error may still be read
            json.dump({"error": what, "hint": then}, sys.stdout)
            sys.stdout.write("\n")
            sys.stdout.flush()
            return ERROR
    _abandon_unwritten()
    sys.stderr.write(show.clean(f"gatepost: {what}\n" + (f"  → {then}\n" if then else "")))
    return ERROR


def _abandon_unwritten() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _abandon_output()
