"""Run a command line: every failure is one sentence and an exit code, never a traceback.

0 good | 1 a warning or a negative result | 2 an error.  `--debug` anywhere shows the traceback.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

import typer

from gatepost.errors import ConfigError, GatepostError

GOOD, NEGATIVE, ERROR = 0, 1, 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code."""
    debug = "--debug" in arguments or os.environ.get("GATEPOST_DEBUG") == "1"
    rest = [one for one in arguments if one != "--debug"]
    if debug:
        return _call(rest)
    try:
        return _call(rest)
    except GatepostError as error:
        return _fail(str(error), hint(error), rest)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GOOD
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", "", rest)
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
        sys.stderr.write("stopped, nothing was changed\n")
        return NEGATIVE
    except typer.TyperException as error:
        return _usage(error)
    finally:
        sys.stdout.flush()
    return result if isinstance(result, int) else GOOD


def _usage(error: typer.TyperException) -> int:
    show = getattr(error, "show", None)
    if callable(show):
        show()
    else:
        sys.stderr.write(f"{error.format_message()}\n")
    return ERROR


def hint(error: GatepostError) -> str:
    """The next command, for errors that have an obvious one."""
    if isinstance(given := error.fields.get("hint"), str):
        return given
    if isinstance(error, ConfigError):
        if "no configuration found" in str(error):
            return "gatepost init DOMAIN makes one, --config FILE names another"
        if error.fields.get("problems"):
            return "gatepost config schema tells what may stand there"
    return ""


def _fail(what: str, then: str, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        json.dump({"error": what, "hint": then}, sys.stdout, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        sys.stderr.write(f"gatepost: {what}\n" + (f"  → {then}\n" if then else ""))
    return ERROR
