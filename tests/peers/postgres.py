"""A throw-away PostgreSQL: own folder, own UNIX socket, nothing of the system's."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.conftest import absent

_SETTINGS = (
    "listen_addresses = ''",
    "shared_buffers = 32MB",
    "max_connections = 200",
    "autovacuum_naptime = 60",
)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        absent("needs PostgreSQL's server (scripts/install-peers)")
    return found[-1].parent if found else Path(str(on_path)).parent


_numbers = count()


@dataclass(frozen=True)
class Schema:
    """One test's part of the server."""

    folder: Path
    name: str

    @property
    def conninfo(self) -> str:
        """Its address as libpq reads it."""
        where = f"host={self.folder} user=gatepost dbname=postgres"
        return f"{where} options='-c search_path={self.name}'"

    @property
    def url(self) -> str:
        """Its address as it stands in a configuration."""
        where = f"postgresql://gatepost@/postgres?host={self.folder}"
        return f"{where}&options=-csearch_path%3D{self.name}"


@dataclass
class Server:
    """A database server of this test process alone, on a UNIX socket in its own folder."""

    binaries: Path
    folder: Path
    user: dict[str, Any]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def create(self) -> None:
        options = ("-U", "gatepost", "-A", "trust", "-N", "-E", "UTF8")
        self.run("initdb", "-D", str(self.data), *options)
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("\n".join((*_SETTINGS, f"unix_socket_directories = '{self.folder}'", "")))

    def fresh(self) -> Schema:
        """Room for one test."""
        made = Schema(self.folder, f"test{next(_numbers)}")
        with psycopg.connect(f"host={self.folder} user=gatepost dbname=postgres") as connection:
            connection.execute(f"CREATE SCHEMA {made.name}".encode())
        return made

    def start(self) -> None:
        self.control("-l", str(self.folder / "log"), "start")

    def crash(self) -> None:
        """Stop without writing anything down, as a power cut would."""
        self.control("-m", "immediate", "stop")

    def control(self, *words: str) -> None:
        self.run("pg_ctl", "-D", str(self.data), "-w", "-t", "30", *words)

    def run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(self.binaries / program), *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **self.user,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """PostgreSQL, started once for this test process."""
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="gatepost-pg-"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            absent("needs the user postgres to run PostgreSQL as")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    made = Server(binaries, folder, user)
    try:
        made.create()
        made.start()
        yield made
        made.crash()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
