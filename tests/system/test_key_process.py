"""Private keys stay in the key process: no worker has them, and its death loses no mail."""

import contextlib
import os
import signal
import smtplib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.conftest import absent
from tests.patience import PATIENCE, until
from tests.peers.gateway import Gateway, children, keeps_keys, offspring
from tests.peers.hammer import Hammer
from tests.peers.hsm import begin
from tests.peers.lab import Lab
from tests.peers.letter import Letter, submit
from tests.peers.postfix import free_port

from gatepost.config import load
from gatepost.engine.custody import KEYS, load_kek
from gatepost.engine.service import Stores, utc_now
from gatepost.mail.address import Mailbox
from gatepost.vault.kek import Kek
from gatepost.vault.subkey import draw

HERE, THERE = "xyz.us.example", "xyz.co.uk.example"
ALICE, BOB = f"alice@{HERE}", f"bob@{THERE}"
SIGNED = '[defaults]\nsign = "always"\nencrypt = "never"\n'


def signing(lab: Lab, sink: int, **more: object) -> Gateway:
    """A gateway that signs everything, not started."""
    gateway = lab.planned(HERE, free_port(), sink, **more)
    gateway.policy(SIGNED)
    return gateway


def keeper(gateway: Gateway) -> int:
    """The key process, once there is one."""
    assert gateway.process is not None
    pid = gateway.process.pid
    until(lambda: any(map(keeps_keys, offspring(pid))))
    return next(one for one in offspring(pid) if keeps_keys(one))


# ── who has what ─────────────────────────────────────────────────────────────────────


def test_no_worker_has_a_key(lab: Lab) -> None:
    """A hole in a parser of mail reads everybody's private keys out of the worker's memory."""
    sink = lab.mailbox()
    gateway = signing(lab, sink.port, edits={"# workers = 1": "workers = 2"})
    secrets = planted(gateway.config)
    gateway.start()
    letter = Letter(ALICE, BOB)
    submit(gateway.port, letter)
    assert b"smime-type=signed-data" in sink.wait_for(letter.id)[0].content or signed(sink, letter)
    assert gateway.process is not None
    pid = gateway.process.pid
    shared, private = secrets
    assert len(children(pid)) == 2
    for one in (pid, *children(pid)):
        assert found(one, private) == set(), one
    for one in children(pid):
        assert found(one, shared) == set(shared)  # the search works: these they need
    key_process = keeper(gateway)
    assert found(key_process, private) == set(private)
    # Nor does anybody have a file of keys open, and the key process listens to nobody else.
    for one in offspring(pid):
        assert not any("vault.key" in name for name in descriptors(one))
    inherited = {name for name in descriptors(key_process) if name.startswith("socket:")}
    assert not inherited & listening()
    limits = Path(f"/proc/{key_process}/limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if "core file" in line] == [
        ["0", "0"]
    ]


def signed(sink: object, letter: Letter) -> bool:
    return b"multipart/signed" in sink.wait_for(letter.id)[0].content  # type: ignore[attr-defined]


def planted(config: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Give Alice an RSA key, as an import would; what workers may have, and what they may not."""
    settings = load(config)
    stores = Stores.open(settings)
    try:
        assert stores.authority is not None
        identity = stores.authority.ensure(Mailbox.parse(ALICE), utc_now())
        key = stores.vault.private_key_of(identity.signer.certificate)
    finally:
        stores.close()
    assert isinstance(key, rsa.RSAPrivateKey)
    prime = key.private_numbers().p
    kek = load_kek(settings)
    private = {
        "key-encryption key": kek.key,
        "sub-key of private keys": draw(kek, KEYS).key,
        "a prime": prime.to_bytes((prime.bit_length() + 7) // 8, "little"),  # as OpenSSL has it
    }
    return {"sub-key of queued mail": draw(kek, "queue").key}, private


def found(pid: int, wanted: dict[str, bytes]) -> set[str]:
    """Which of these octets are in a process's memory."""
    seen = set()
    with memory(pid) as pieces:
        for piece in pieces:
            seen |= {name for name, octets in wanted.items() if octets in piece}
    return seen


@contextlib.contextmanager
def memory(pid: int) -> Iterator[Iterator[bytes]]:
    """Everything it can write to."""
    mapped = maps(pid).splitlines()
    ranges = [line.split()[0].split("-") for line in mapped if line.split()[1].startswith("rw")]
    try:
        with Path(f"/proc/{pid}/mem").open("rb", 0) as file:

            def read() -> Iterator[bytes]:
                for first, last in ranges:
                    with contextlib.suppress(OSError, ValueError, OverflowError):
                        file.seek(int(first, 16))
                        yield file.read(int(last, 16) - int(first, 16))

            yield read()
    except PermissionError:
        absent("needs root to look into another process")


def maps(pid: int) -> str:
    """What it has mapped; the key process is closed to others of its own user."""
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except PermissionError:
        absent("needs root to look into another process")
        raise


def descriptors(pid: int) -> list[str]:
    """What its descriptors lead to."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    names = []
    for one in links:
        with contextlib.suppress(FileNotFoundError):
            names.append(str(one.readlink()))
    return names


def listening() -> set[str]:
    """The sockets of this machine on which TCP listens, as descriptors call them."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return {f"socket:[{one.split()[9]}]" for one in lines if one.split()[3] == "0A"}


def test_key_from_the_environment(lab: Lab) -> None:
    """A container's key is in each worker's environment, for every core dump."""
    sink = lab.mailbox()
    gateway = signing(lab, sink.port)
    text = (gateway.folder / "vault.key").read_text().split()[-1]
    gateway.edit({'key_file = "vault.key"': 'key_environment = "GP_TEST_KEY"'})
    gateway.environment = {"GP_TEST_KEY": text}
    gateway.start()
    letter = Letter(ALICE, BOB)
    submit(gateway.port, letter)
    sink.wait_for(letter.id)
    assert gateway.process is not None
    for one in children(gateway.process.pid):
        assert found(one, {"hex": text.encode(), "octets": bytes.fromhex(text)}) == set()
        assert b"GP_TEST_KEY=" not in Path(f"/proc/{one}/environ").read_bytes()


# ── when it dies ─────────────────────────────────────────────────────────────────────


def test_killed_under_load(lab: Lab) -> None:
    """One crash of the key process loses mail, sends it unsigned, or stops the gateway."""
    sink = lab.mailbox()
    gateway = signing(lab, sink.port, edits={"# workers = 1": "workers = 2"})
    gateway.start()
    assert gateway.process is not None
    workers = children(gateway.process.pid)
    submit(gateway.port, Letter(ALICE, BOB))
    with Hammer(gateway.port, ALICE, BOB, clients=3) as hammer:
        for _ in range(2):
            hammer.more(5)
            old = keeper(gateway)
            os.kill(old, signal.SIGKILL)
            until(lambda: keeper(gateway) != old)  # noqa: B023  waited for in here
            hammer.more(5)
    assert hammer.trouble == []
    until(lambda: len(sink.mails) >= len(hammer.sent) + 1)
    arrived = sink.counted()
    assert [one for one in hammer.sent if arrived[one] != 1] == []
    assert all(b"multipart/signed" in mail.content for mail in sink.mails)
    assert children(gateway.process.pid) == workers  # they did not notice
    assert len(gateway.events("service.error", service="keys")) == 2
    until(gateway.queue_is_empty)


@pytest.mark.slow
@pytest.mark.timeout(300)  # six new processes, one after the other
def test_reload_and_restart(lab: Lab) -> None:
    """A new configuration of the vault is not used, or each reload leaves a process behind."""
    sink = lab.mailbox()
    gateway = signing(lab, sink.port)
    gateway.start()

    def works() -> None:
        letter = Letter(ALICE, BOB)
        submit(gateway.port, letter)
        sink.wait_for(letter.id)

    works()
    first = keeper(gateway)
    gateway.command("reload")
    works()
    assert keeper(gateway) == first  # it could not do better
    gateway.edit({"[vault]": "[vault]\nfour_eyes = true"})
    gateway.command("reload")
    works()
    until(lambda: keeper(gateway) != first)
    second = keeper(gateway)
    gateway.command("restart")
    works()
    until(lambda: keeper(gateway) != second)
    wrong = gateway.folder / "vault.key"
    right = wrong.read_text()
    wrong.write_text("5a" * 32 + "\n")
    gateway.edit({"four_eyes = true": "four_eyes = false"})
    assert "KEY-0" in gateway.command("reload", "--json", codes=(2,))
    wrong.write_text(right)
    works()
    # And without one, as before.
    gateway.edit({"four_eyes = false": "process = false"})
    gateway.command("reload")
    works()
    assert gateway.process is not None
    pid = gateway.process.pid
    until(lambda: not any(map(keeps_keys, offspring(pid))))
    assert not list(gateway.state.glob("keys-*"))


def test_rotation(lab: Lab) -> None:
    """After `vault rotate` a running gateway would neither sign nor open what it queued."""
    sink = lab.mailbox()
    gateway = signing(lab, sink.port)
    gateway.start()
    submit(gateway.port, Letter(ALICE, BOB))
    old = load_kek(load(gateway.config))
    gateway.command("vault", "rotate", codes=(0, 1))
    new = load_kek(load(gateway.config))
    assert (new.others, new.key != old.key) == ((old.key,), True)
    for sender in (ALICE, f"carol@{HERE}"):  # whose key is older, and whose is made now
        letter = Letter(sender, BOB)
        submit(gateway.port, letter)
        assert b"multipart/signed" in sink.wait_for(letter.id)[0].content
    assert_sealed_under(gateway, new)


def assert_sealed_under(gateway: Gateway, kek: Kek) -> None:
    stores = Stores.open(load(gateway.config))
    try:
        held = [one for one in stores.directory.find(limit=100) if one.key_purpose is not None]
        boxes = [stores.directory.key_of(one.certificate) for one in held]
        assert {one.sealed[1:5] for one in boxes if one is not None} == {kek.id}
    finally:
        stores.close()


PASSPHRASE = "correct horse battery"


@pytest.mark.slow
@pytest.mark.timeout(300)  # five new processes, one after the other
def test_passphrase(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that boots at night without its passphrase loses mail, or sends it unsigned."""
    sink = lab.mailbox()
    gateway = signing(lab, sink.port, wrapper=("setsid",))  # no terminal, wherever this runs
    gateway.edit({"[vault]": "[vault]\nkey_passphrase = true"})
    monkeypatch.setattr("gatepost.engine.terminal.ask", lambda *_, **__: PASSPHRASE)
    gateway.command("vault", "wrap")
    assert "passphrase:" in (gateway.folder / "vault.key").read_text()
    gateway.start()
    small, large = Letter(ALICE, BOB), Letter(ALICE, BOB, body=b"x" * 70 + b"\r\n" * 300_000)
    for one in (small, large):
        with pytest.raises(smtplib.SMTPDataError) as refused:
            submit(gateway.port, one)
        assert refused.value.smtp_code == 451
    assert sink.mails == []
    given = tmp_path / "passphrase"
    given.write_text("another horse\n")
    said = gateway.command("vault", "unlock", "--passphrase-file", str(given), codes=(2,))
    assert said == ""
    given.write_text(PASSPHRASE + "\n")
    gateway.command("vault", "unlock", "--passphrase-file", str(given))
    for one in (small, large):
        submit(gateway.port, one)
        assert b"multipart/signed" in sink.wait_for(one.id)[0].content
    # Nobody need type it again for a new configuration or program.
    for verb in ("reload", "restart"):
        gateway.command(verb)
        letter = Letter(ALICE, BOB)
        submit(gateway.port, letter)
        sink.wait_for(letter.id)
    # A crash locks it again; what was taken before is delivered, and the rest comes later.
    old = keeper(gateway)
    os.kill(old, signal.SIGKILL)
    until(lambda: keeper(gateway) != old)
    with pytest.raises(smtplib.SMTPDataError):
        submit(gateway.port, small)
    until(lambda: not unlocked(gateway, given))
    submit(gateway.port, Letter(ALICE, BOB))


def unlocked(gateway: Gateway, given: Path) -> str:
    """What is said; nothing when it is open."""
    words = ("vault", "unlock", "--passphrase-file", str(given), "--json")
    said = gateway.command(*words, codes=(0, 2))
    return "" if "count" in said else said


@pytest.mark.peer("softhsm2-util")
def test_token(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A company whose keys are in an HSM: only the key process talks to it, and it may go away."""
    tokens = begin(tmp_path, monkeypatch)
    tokens.make("ours")
    sink = lab.mailbox()
    gateway = signing(lab, sink.port)
    gateway.config.write_text(gateway.config.read_text() + "\n" + tokens.settings("ours"))
    gateway.start()

    def send() -> int:
        letter = Letter(ALICE, BOB)
        try:
            submit(gateway.port, letter)
        except smtplib.SMTPResponseException as error:
            return int(error.smtp_code)
        assert b"multipart/signed" in sink.wait_for(letter.id)[0].content
        return 250

    assert send() == 250
    with tokens.carried_away():
        assert send() == 451
    until(lambda: send() == 250)
    os.kill(keeper(gateway), signal.SIGKILL)
    until(lambda: send() == 250)
    assert gateway.process is not None
    for one in children(gateway.process.pid):
        assert "libsofthsm2" not in maps(one)
    assert "libsofthsm2" in maps(keeper(gateway))


def test_strangers_cannot_use_it(lab: Lab) -> None:
    """Who may walk into the state folder could sign as everybody."""
    gateway = signing(lab, free_port())
    gateway.start()
    (place,) = gateway.state.glob("keys-*.sock")
    assert place.stat().st_mode & 0o777 == 0o600
    if os.geteuid() != 0:
        absent("needs root to be somebody else")
    code = os.fork()
    if not code:
        with contextlib.suppress(BaseException):
            folder = os.open(gateway.state, os.O_RDONLY)
            place.chmod(0o666)
            os.setuid(65534)
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(f"/proc/self/fd/{folder}/{place.name}")
                line.settimeout(PATIENCE)
                os._exit(0 if line.recv(1) == b"" else 1)
        os._exit(2)
    # By the kernel's word on the state folder (2), or by that on the peer (0).
    assert os.waitstatus_to_exitcode(os.waitpid(code, 0)[1]) in {0, 2}
