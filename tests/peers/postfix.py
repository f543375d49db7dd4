"""A private, loopback-only Postfix: its own folder, queue, ports; the system's is not touched.

Needs root and Debian's postfix package.  Every instance is stopped and its processes are
gone when the `with` block ends.
"""

import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.patience import PATIENCE

SERVICES = """\
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
lmtp      unix  -       -       n       -       -       lmtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
virtual   unix  -       n       n       -       -       virtual
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""


CHOICE = random.SystemRandom()  # not the one that pytest-randomly seeds alike everywhere
LOWEST, HIGHEST = 10_240, 32_767  # below the kernel's own choices: no client takes them away
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_given: set[int] = set()


def free_port() -> int:
    """A loopback port nobody listens on at this moment.

    Nobody else is given it: neither this process again, nor another one of the same run.
    """
    while True:
        port = CHOICE.randrange(LOWEST + _WORKER, HIGHEST, _WORKERS)
        if port in _given:
            continue
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port


def wait_for_port(port: int, seconds: float = PATIENCE) -> None:
    """Return once something accepts on the loopback port; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nothing listens on 127.0.0.1:{port} after {seconds} s")


@dataclass
class Postfix:
    """One instance.  `services` are further master.cf lines, `settings` main.cf overrides."""

    folder: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)
    services: Sequence[str] = ()
    smtpd_options: Sequence[str] = ()
    mailboxes: Sequence[str] = ()  # addresses delivered into Maildirs below folder/mail

    def __enter__(self) -> Self:
        self._lay_out()
        self._run("start")
        wait_for_port(self.port)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run("stop", check=False)

    @property
    def log(self) -> str:
        """The mail log so far."""
        path = self.folder / "log" / "maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def delivered(self, address: str) -> list[bytes]:
        """The messages in a mailbox, oldest first."""
        new = self.folder / "mail" / address / "new"
        files = sorted(new.iterdir(), key=lambda p: p.stat().st_mtime_ns) if new.is_dir() else []
        return [path.read_bytes() for path in files]

    def wait_for(self, address: str, count: int = 1, seconds: float = PATIENCE) -> list[bytes]:
        """The mailbox once it holds `count` messages; fails with the log otherwise."""
        deadline = time.monotonic() + seconds
        while len(found := self.delivered(address)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{address} has {len(found)} of {count} messages; log:\n{self.log[-5000:]}"
                )
            time.sleep(0.05)
        return found

    def queued(self) -> int:
        """How many messages stand in any queue."""
        queues = ("maildrop", "incoming", "active", "deferred", "hold")
        return sum(1 for q in queues for p in (self.folder / "queue" / q).rglob("*") if p.is_file())

    def _run(self, verb: str, *, check: bool = True) -> None:
        done = subprocess.run(
            ["/usr/sbin/postfix", "-c", str(self.folder / "etc"), verb],
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"postfix {verb}: {done.stderr}{self.log}")

    def _lay_out(self) -> None:
        for name in ("etc", "queue", "data", "log", "mail"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        _open_path(self.folder)
        shutil.chown(self.folder / "data", "postfix")
        shutil.chown(self.folder / "mail", "nobody", "nogroup")
        settings = {**self._settings(), **self.settings}
        (self.folder / "etc" / "main.cf").write_text(
            "".join(f"{name} = {value}\n" for name, value in settings.items())
        )
        options = "".join(f"  -o {option}\n" for option in self.smtpd_options)
        services = [f"127.0.0.1:{self.port} inet n - n - - smtpd\n{options}", SERVICES]
        services += [line if line.endswith("\n") else line + "\n" for line in self.services]
        (self.folder / "etc" / "master.cf").write_text("".join(services))

    def _settings(self) -> dict[str, str]:
        domains = sorted({address.rpartition("@")[2] for address in self.mailboxes})
        boxes = self.folder / "etc" / "mailboxes"
        boxes.write_text("".join(f"{address} {address}/\n" for address in self.mailboxes))
        return {
            "compatibility_level": "3.6",
            "queue_directory": str(self.folder / "queue"),
            "data_directory": str(self.folder / "data"),
            "command_directory": "/usr/sbin",
            "daemon_directory": "/usr/lib/postfix/sbin",
            "shlib_directory": "/usr/lib/postfix",
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "myhostname": "mail.test",
            "myorigin": "mail.test",
            "mydestination": "",
            "local_recipient_maps": "",
            "local_transport": "error:no local delivery",
            "alias_maps": "",
            "alias_database": "",
            "virtual_mailbox_domains": " ".join(domains),
            "virtual_mailbox_base": str(self.folder / "mail"),
            "virtual_mailbox_maps": f"texthash:{boxes}",
            "virtual_uid_maps": "static:65534",
            "virtual_gid_maps": "static:65534",
            "smtp_dns_support_level": "disabled",
            "smtp_host_lookup": "native",
            "smtp_tls_security_level": "none",
            "smtpd_tls_security_level": "none",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_peername_lookup": "no",
            "smtpd_client_connection_count_limit": "0",
            "default_process_limit": "100",
            "message_size_limit": "209715200",
            "mailbox_size_limit": "0",
            "virtual_mailbox_limit": "0",
            "in_flow_delay": "0",
            "minimal_backoff_time": "1s",
            "queue_run_delay": "1s",
            "maximal_queue_lifetime": "1h",
            "maillog_file": str(self.folder / "log" / "maillog"),
            "maillog_file_prefixes": f"/var, {self.folder}",
        }


def _open_path(folder: Path) -> None:
    """Let Postfix's own users walk down to the folder (pytest makes its folders 0700)."""
    for part in (folder, *folder.parents):
        if part == Path("/") or part.stat().st_uid != os.getuid():
            break
        part.chmod(part.stat().st_mode | 0o055)
