"""A private, loopback-only Exim: one configuration file, own spool, own ports, no privileges.

Needs root only to become Exim's user; `fragments` are included where gatepost says.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.patience import PATIENCE
from tests.peers.postfix import _open_path, wait_for_port

USER = "Debian-exim"
CONFIGURATION = """\
.include_if_exists {folder}/gatepost-main.conf
primary_hostname = mail.{domain}
exim_path = {program}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/exim.pid
exim_user = {user}
exim_group = {user}
deliver_drop_privilege = true
local_interfaces = {interfaces}
domainlist local_domains = {domain}
domainlist relay_to_domains =
hostlist relay_from_hosts = {trusted}
acl_smtp_rcpt = acl_check_rcpt
tls_advertise_hosts =
chunking_advertise_hosts =
smtp_accept_max_per_host = 100
message_size_limit = 200M
keep_environment =
never_users =

begin acl
acl_check_rcpt:
.include_if_exists {folder}/gatepost-acl.conf
  accept hosts = : +relay_from_hosts
  accept domains = +local_domains
         endpass
         verify = recipient
  deny message = relaying denied

begin routers
.include_if_exists {folder}/gatepost-router.conf
world:
  driver = manualroute
  domains = ! +local_domains
  route_list = * 127.0.0.1::{world} byname
  transport = world_smtp
  self = send
  no_more
people:
  driver = accept
  domains = +local_domains
  transport = maildir

begin transports
.include_if_exists {folder}/gatepost-transport.conf
world_smtp:
  driver = smtp
  allow_localhost
maildir:
  driver = appendfile
  maildir_format
  directory = {folder}/mail/everybody
  create_directory

begin retry
* * F,1h,1s
"""


def program() -> str:
    """Where Exim is (scripts/install-peers)."""
    found = shutil.which("exim4", path="/usr/local/sbin:/usr/sbin:" + os.environ.get("PATH", ""))
    assert found is not None
    return found


@dataclass
class Exim:
    """One instance."""

    folder: Path
    domain: str
    ports: Sequence[int]
    world: int
    trusted: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "exim.conf"

    @property
    def log(self) -> str:
        """The logs so far."""
        return "".join(p.read_text(errors="replace") for p in (self.folder / "log").glob("*log"))

    def lay_out(self) -> Self:
        """Write the configuration; fragments may be put beside it afterwards."""
        for name in ("spool", "log", "mail"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            shutil.chown(self.folder / name, USER, USER)
        _open_path(self.folder)
        interfaces = "<; " + " ; ".join(f"127.0.0.1.{port}" for port in self.ports)
        self.config.write_text(
            CONFIGURATION.format(
                program=program(),
                folder=self.folder,
                domain=self.domain,
                user=USER,
                interfaces=interfaces,
                world=self.world,
                trusted=self.trusted,
            )
        )
        return self

    def __enter__(self) -> Self:
        command = [program(), "-C", str(self.config), "-bdf", "-q1s"]
        with (self.folder / "log" / "output").open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True, **_identity()
            )
        for port in self.ports:
            wait_for_port(port)
        return self

    def __exit__(self, *_: object) -> None:
        process, self.process = self.process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)  # those who serve connections, too
            process.wait(PATIENCE)

    def run(self, *arguments: str) -> str:
        """Run the program with this configuration."""
        command = [program(), "-C", str(self.config), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **_identity())
        return f"{done.stdout}{done.stderr}"

    def delivered(self, address: str) -> list[bytes]:
        """The messages that arrived, oldest first."""
        del address  # names from outside are no part of a path for Exim
        new = self.folder / "mail" / "everybody" / "new"
        files = sorted(new.iterdir(), key=lambda p: p.stat().st_mtime_ns) if new.is_dir() else []
        return [path.read_bytes() for path in files]

    def wait_for(self, address: str, count: int = 1, seconds: float = PATIENCE) -> list[bytes]:
        """The mailbox once it holds `count` messages; fails with the log otherwise."""
        deadline = time.monotonic() + seconds
        while len(found := self.delivered(address)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} of {count} for {address}; log:\n{self.log}")
            time.sleep(0.05)
        return found


def _identity() -> dict[str, Any]:
    entry = pwd.getpwnam(USER)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
