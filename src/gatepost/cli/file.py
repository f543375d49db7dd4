"""Files in and out, `-` for standard input and output; passphrases never on the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from gatepost.errors import ConfigError

STDIO = Path("-")
_MAXIMUM_PASSPHRASE = 1024

Output = Annotated[
    Path, typer.Option("--output", "-o", help="File to write; - is standard output.")
]
BESIDE = typer.Option(
    "--certificate",
    metavar="FILE",
    help="File with the key's certificate; may be repeated.",
    show_default=False,
)
PassphraseFile = Annotated[
    Path | None,
    typer.Option(help="File whose first line is the key's passphrase.", show_default=False),
]


def read(path: Path) -> bytes:
    """All octets of a file or of standard input."""
    if path == STDIO:
        return sys.stdin.buffer.read()
    return path.read_bytes()


def write(path: Path, chunks: Iterable[bytes], *, private: bool = False) -> None:
    """Write octets; a file is complete or not there, and private ones are their owner's alone."""
    if path == STDIO:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def passphrase(path: Path | None, what: str = "Passphrase") -> Callable[[], bytes]:
    """Where the passphrase comes from: a file, GATEPOST_PASSPHRASE, or the terminal."""

    def ask() -> bytes:
        if path is not None:
            return path.read_bytes()[:_MAXIMUM_PASSPHRASE].split(b"\n")[0].rstrip(b"\r")
        if (given := os.environ.get("GATEPOST_PASSPHRASE")) is not None:
            return given.encode()
        if not sys.stdin.isatty():
            raise ConfigError(
                "the key is protected by a passphrase",
                hint="--passphrase-file FILE, or GATEPOST_PASSPHRASE in the environment",
            )
        return str(typer.prompt(what, hide_input=True, err=True)).encode()

    return ask
