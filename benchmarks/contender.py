"""Who is measured: Gatepost, a plain Postfix relay, and the classic Postfix pipe recipe.

Each is a context manager that listens at `port` and relays to `sink_port`.
"""

import re
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.postfix import Postfix, free_port, wait_for_port

from benchmarks.load import AUTHOR, READER
from gatepost.config import load
from gatepost.engine.service import Stores, utc_now
from gatepost.enrol.local import LocalAuthority
from gatepost.mail.address import Mailbox
from gatepost.store.directory import Directory
from gatepost.vault.kek import generate_file
from gatepost.vault.keys import Vault
from gatepost.vault.seal import Sealer

RECIPE = """\
#!/bin/sh
# The classic content_filter: sign, encrypt, hand back.  $0 -f sender -- recipients
S="$2"; shift 3
T=$(mktemp {folder}/tmp/f.XXXXXX) || exit 75
trap 'rm -f $T $T.*' EXIT
cat > $T || exit 75
awk 'BEGIN{{h=1}} h&&/^\\r?$/{{h=0}} h' $T > $T.h
awk 'BEGIN{{h=1}} h&&/^\\r?$/{{h=0;next}} !h' $T > $T.b
{{ echo "Content-Type: text/plain"; echo; cat $T.b; }} |
 openssl cms -sign -signer {folder}/a.crt -inkey {folder}/a.key -md sha256 2>/dev/null |
 openssl cms -encrypt -aes-256-cbc {folder}/b.crt 2>/dev/null > $T.e || exit 75
{{ cat $T.h; cat $T.e; }} | /usr/sbin/sendmail -G -i -f "$S" -- "$@" || exit 75
"""


class Contender(AbstractContextManager["Contender"]):
    """Something that relays mail."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.sink_port = free_port()
        self._stack = ExitStack()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


class PlainPostfix(Contender):
    """Postfix as a relay: no cryptography at all."""

    name = "Postfix relay, no cryptography"

    def __enter__(self) -> Self:
        postfix = Postfix(self.folder / "relay", self.port, settings=_relaying(self.sink_port))
        self._stack.enter_context(postfix)
        return self


class PipeRecipe(Contender):
    """Postfix with the pipe filter of a hundred how-tos around `openssl cms`."""

    name = "Postfix pipe + openssl cms"

    def __enter__(self) -> Self:
        folder = self.folder / "recipe"
        (folder / "tmp").mkdir(parents=True)
        (folder / "tmp").chmod(0o777)
        for name, address in (("a", AUTHOR), ("b", READER)):
            _self_signed(folder, name, address)
        script = folder / "filter.sh"
        script.write_text(RECIPE.format(folder=folder))
        script.chmod(0o755)
        etc = folder / "postfix" / "etc"
        pipe = (
            "recipe unix - n n - 4 pipe\n  flags=Rq user=nobody null_sender= "
            f"argv=/usr/bin/env MAIL_CONFIG={etc} {script} -f ${{sender}} -- ${{recipient}}\n"
        )
        pickup = "pickup unix n - n 60 1 pickup\n  -o content_filter=\n"
        postfix = Postfix(
            folder / "postfix",
            self.port,
            settings=_relaying(self.sink_port),
            services=[pipe, pickup],
            smtpd_options=["content_filter=recipe:dummy"],
        )
        _allow(etc)
        self._stack.enter_context(postfix)
        return self


class Gatepost(Contender):
    """`gatepost serve`: sign, encrypt, durable queue, relay."""

    name = "Gatepost, sign + encrypt"

    def __init__(self, folder: Path, workers: int) -> None:
        super().__init__(folder)
        self.name = f"{self.name}, {workers} worker{'s' if workers > 1 else ''}"
        self._workers = workers
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        folder = self.folder / f"gatepost-{self._workers}"
        folder.mkdir()
        config = folder / "gatepost.toml"
        self._init(folder, config)
        _introduce(config, self.folder / f"partner-{self._workers}")
        log = (folder / "log").open("wb")
        self._stack.callback(log.close)
        command = [sys.executable, "-m", "gatepost", "serve", "--config", str(config)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self._stack.callback(_stop, self.process)
        wait_for_port(self.port)
        return self

    def _init(self, folder: Path, config: Path) -> None:
        command = [sys.executable, "-m", "gatepost", "init", "x.test", "--yes"]
        command += ["--config", str(config), "--state", str(folder / "state")]
        command += ["--listen", f"127.0.0.1:{self.port}"]
        command += ["--mail-server", "127.0.0.1:9", "--relay", f"127.0.0.1:{self.sink_port}"]
        subprocess.run(command, check=True, capture_output=True)
        setting = f"workers = {self._workers}"
        text, found = re.subn(r"(?m)^#? *workers = .*$", setting, config.read_text())
        if not found:
            raise RuntimeError("the configuration has no line for workers to set")
        config.write_text(text)


def _introduce(config: Path, folder: Path) -> None:
    """Give the gateway a correspondent whose certificate (RSA 2048) it trusts."""
    folder.mkdir(mode=0o700)
    now = utc_now()
    directory = Directory(folder / "directory.db")
    vault = Vault(directory, Sealer(generate_file(folder / "key"), "private-key"))
    partner = LocalAuthority.create(directory, vault, "y", ["y.test"], now=now)
    certificate = partner.issue(Mailbox.parse(READER), "encrypt", now)
    stores = Stores.open(load(config))
    stores.directory.add_partner("y.test", [partner.root, partner.issuing], now=now)
    stores.directory.add_certificate(certificate, [Mailbox.parse(READER)], now=now)
    policy = '[defaults]\nsign = "always"\nencrypt = "mandatory"\n'
    stores.directory.policy.apply(policy, author="bench", note="", now=now)
    stores.close()
    directory.close()


def _relaying(sink_port: int) -> dict[str, str]:
    return {
        "relayhost": f"[127.0.0.1]:{sink_port}",
        "default_destination_concurrency_limit": "20",
    }


def _self_signed(folder: Path, name: str, address: str) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={address}", "-keyout", f"{folder}/{name}.key"]
    command += ["-out", f"{folder}/{name}.crt", "-addext", f"subjectAltName=email:{address}"]
    subprocess.run(command, check=True, capture_output=True)
    (folder / f"{name}.key").chmod(0o644)  # the filter runs as nobody; a throw-away key


def _allow(etc: Path) -> None:
    """Let the set-gid sendmail read a configuration folder of ours."""
    main = Path("/etc/postfix/main.cf")
    if not main.exists():
        main.write_text("compatibility_level = 3.6\ninet_interfaces = loopback-only\n")
    found = subprocess.run(
        ["/usr/sbin/postconf", "-c", "/etc/postfix", "-h", "alternate_config_directories"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    kept = [one for one in found if not one.startswith(tempfile.gettempdir())]
    setting = f"alternate_config_directories = {' '.join([*kept, str(etc)])}"
    subprocess.run(["/usr/sbin/postconf", "-c", "/etc/postfix", "-e", setting], check=True)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    time.sleep(0.1)
