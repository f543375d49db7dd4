"""A throw-away PostgreSQL: own folder, own UNIX socket, nothing of the system's."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.conftest import absent

_SETTINGS = (
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

    host: str  # a folder, or an address
    port: int
    name: str

    @property
    def conninfo(self) -> str:
        """Its address as libpq reads it."""
        where = f"host={self.host} port={self.port} user=gatepost dbname=postgres"
        return f"{where} options='-c search_path={self.name}'"

    @property
    def url(self) -> str:
        """Its address as it stands in a configuration."""
        where = f"postgresql://gatepost@/postgres?host={self.host}&port={self.port}"
        return f"{where}&options=-csearch_path%3D{self.name}"


@dataclass
class Server:
    """A database server of this test process alone, on a UNIX socket in its own folder."""

    binaries: Path
    folder: Path
    user: dict[str, Any]
    listen: str = ""  # an address to listen on as well
    port: int = 5432

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def create(self) -> None:
        options = ("-U", "gatepost", "-A", "trust", "-N", "-E", "UTF8")
        self.run("initdb", "-D", str(self.data), *options)
        with (self.data / "postgresql.conf").open("a") as file:
            places = (
                f"unix_socket_directories = '{self.folder}'",
                f"listen_addresses = '{self.listen}'",
                f"port = {self.port}",
            )
            file.write("\n".join((*_SETTINGS, *places, "")))
        if self.listen:
            with (self.data / "pg_hba.conf").open("a") as file:
                file.write("host all gatepost samenet trust\n")

    def fresh(self) -> Schema:
        """Room for one test."""
        made = Schema(self.listen or str(self.folder), self.port, f"test{next(_numbers)}")
        where = f"host={self.folder} port={self.port} user=gatepost dbname=postgres"
        with psycopg.connect(where) as connection:
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
    with running() as made:
        yield made


@contextmanager
def running(listen: str = "", port: int = 5432) -> Iterator[Server]:
    """A server of our own, or a skip where there is none."""
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
    made = Server(binaries, folder, user, listen, port)
    try:
        made.create()
        made.start()
        yield made
        made.crash()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
