"""A folder for certificates: whole files only, each once, and a reason for every refusal."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from tests.pki_builder import company, user

from gatepost.engine.drop_folder import ABANDONED, CLAIMED, DropFolder
from gatepost.engine.journal import Journal
from gatepost.errors import Unavailable
from gatepost.events import Event, Name
from gatepost.mail.address import Mailbox
from gatepost.pki.pem import MAXIMUM_FILE
from gatepost.store.directory import Directory

BOB = Mailbox.parse("bob@partner.example")
CERTIFICATE = user(str(BOB), "p256").certificate
BAG = pkcs7.serialize_certificates([CERTIFICATE.x509, company().certificate.x509], Encoding.DER)
OLD = (
    company()
    .user("old@partner.example", kind="p256", not_after=datetime(2026, 2, 1, tzinfo=UTC))
    .certificate
)


@dataclass
class Place:
    """A folder, and the nodes that look into it."""

    folder: Path
    directory: Directory
    now: datetime
    events: list[Event] = field(default_factory=list)

    def node(self) -> DropFolder:
        journal = Journal(lambda: self.now)
        journal.observe(self.events.append)
        own = frozenset({"example.com"})
        return DropFolder(self.folder, self.directory, own, lambda: self.now, journal)

    def put(self, name: str, octets: bytes) -> None:
        (self.folder / name).write_bytes(octets)

    def files(self) -> set[str]:
        found = (one for one in self.folder.rglob("*") if not one.is_dir())
        return {str(one.relative_to(self.folder)) for one in found}

    def told(self, name: Name) -> list[dict[str, object]]:
        return [dict(one.fields) for one in self.events if one.name is name]

    def known(self) -> set[str]:
        return {one.certificate.fingerprint for one in self.directory.find()}


@pytest.fixture
def place(tmp_path: Path, now: datetime) -> Iterator[Place]:
    """An empty one."""
    folder = tmp_path / "drop"
    folder.mkdir()
    with Directory(tmp_path / "directory.db") as directory:
        yield Place(folder, directory, now)


async def test_taken_in(place: Place) -> None:
    """Every certificate would have to be typed into a command."""
    node = place.node()
    place.put("bob.p7b", BAG)
    place.put("bob.pem", CERTIFICATE.pem.encode())
    place.put("ca.cer", company().certificate.der)
    await node.look()
    assert place.known() == set()  # it may still be growing
    await node.look()
    assert place.files() == {"taken/bob.p7b", "taken/bob.pem", "taken/ca.cer"}
    (candidate,) = place.directory.candidates_for(BOB)
    assert (candidate.certificate, candidate.source) == (CERTIFICATE, "imported")
    assert candidate.issuers == (company().certificate,)
    assert place.directory.anchors_for("partner.example").roots == frozenset()
    assert {one["file"] for one in place.told(Name.FOLDER_TAKEN)} == {
        "bob.p7b",
        "bob.pem",
        "ca.cer",
    }
    place.put("bob.pem", CERTIFICATE.pem.encode())
    for _ in range(2):
        await node.look()
    assert len(place.files()) == 4  # neither is lost


async def test_nothing_half_written(place: Place) -> None:
    """Half of a bundle would be taken for all of it."""
    node = place.node()
    whole = (CERTIFICATE.pem + company().certificate.pem).encode()
    for end in (100, len(CERTIFICATE.pem), len(whole)):
        place.put("bundle.pem", whole[:end])
        await node.look()
        assert place.known() == set()
    for name in (".hidden.pem", "x.pem.part", "y.tmp"):
        place.put(name, whole)
    await node.look()
    await node.look()
    assert place.known() == {CERTIFICATE.fingerprint, company().certificate.fingerprint}
    assert place.files() == {"taken/bundle.pem", ".hidden.pem", "x.pem.part", "y.tmp"}


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "certificate"),
        (b"garbage", "certificate"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no certificate"),
        (OLD.der, "expired on 2026-02-01"),
        (OLD.pem.encode() + CERTIFICATE.pem.encode(), "expired on"),
        (user("alice@example.com", "p256").certificate.der, "alice@example.com is ours"),
        (bytes(MAXIMUM_FILE + 1), "over the limit"),
        (user("eve@partner.example", "p256", "sign").certificate.der, "keyAgreement"),
    ],
)
async def test_rejected_with_its_reason(place: Place, octets: bytes, reason: str) -> None:
    """A file that vanishes, or that is half in, and nobody knows why."""
    node = place.node()
    place.put("bad.cer", octets)
    for _ in range(2):
        await node.look()
    assert place.files() == {"rejected/bad.cer", "rejected/bad.cer.txt"}
    said = (place.folder / "rejected/bad.cer.txt").read_text()
    assert said.startswith("bad.cer: ")
    assert said.count("\n") == 1
    assert reason in said
    assert place.known() == set()
    assert len(place.told(Name.FOLDER_REJECTED)) == 1


async def test_each_file_once(place: Place) -> None:
    """Two nodes would both take it in, or trip over each other."""
    nodes = [place.node(), place.node()]
    for number in range(5):
        place.put(f"{number}.cer", CERTIFICATE.der)
    for _ in range(3):
        for one in nodes:
            await one.look()
    assert len(place.told(Name.FOLDER_TAKEN)) == 5
    assert not place.told(Name.SERVICE_ERROR)


async def test_a_node_that_ended_over_it(place: Place) -> None:
    """The file would lie in a hidden folder for ever."""
    node = place.node()
    await node.look()
    place.put(f"{CLAIMED}/0123-bob.cer", CERTIFICATE.der)
    for _ in range(3):
        await node.look()
    assert place.known() == set()
    place.now = datetime.now(place.now.tzinfo) + ABANDONED + timedelta(minutes=1)
    for _ in range(2):
        await node.look()
    assert "bob.cer" not in place.files()
    assert place.files() <= {"taken/bob.cer", "rejected/bob.cer", "rejected/bob.cer.txt"}


async def test_the_directory_is_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good file would be rejected because a database was being restarted."""
    node = place.node()
    place.put("bob.cer", CERTIFICATE.der)
    await node.look()

    def away(*_: object, **__: object) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(place.directory, "add_certificate", away)
        with pytest.raises(Unavailable):
            await node.look()
    assert place.files() == {"bob.cer"}
    for _ in range(2):
        await node.look()
    assert place.files() == {"taken/bob.cer"}


async def test_only_files(place: Place, tmp_path: Path) -> None:
    """Whoever may write here could have any file of ours moved, or the look wait for ever."""
    secret = tmp_path / "secret"
    secret.write_bytes(CERTIFICATE.der)
    (place.folder / "link.cer").symlink_to(secret)
    os.mkfifo(place.folder / "pipe.cer")
    (place.folder / "folder.cer").mkdir()
    node = place.node()
    for _ in range(3):
        await node.look()
    assert place.known() == set()
    assert secret.exists()


async def test_no_folder_is_told_once(place: Place) -> None:
    """The log would be full of it."""
    place.folder.rmdir()
    node = place.node()
    for _ in range(3):
        await node.look()
    (told,) = place.told(Name.SERVICE_ERROR)
    assert "No such file" in str(told["reason"])


async def test_one_that_cannot_be_read_is_rejected(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file copied by root stays in a hidden folder, and comes back every ten minutes."""
    node = place.node()
    place.put("bob.cer", CERTIFICATE.der)
    await node.look()

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patched:
        patched.setattr("os.open", refuse)
        await node.look()
    assert place.files() == {"rejected/bob.cer", "rejected/bob.cer.txt"}
    said = (place.folder / "rejected/bob.cer.txt").read_text()
    assert said == "bob.cer: it cannot be read: Permission denied.\n"


async def test_one_that_cannot_be_moved_holds_up_no_other(place: Place) -> None:
    """A single file, with too long a name, keeps all others out."""
    node = place.node()
    long = "a" * 251 + ".cer"
    for name in (long, "bob.cer", "x.cer"):
        place.put(name, CERTIFICATE.der)
    for _ in range(4):
        await node.look()
    assert place.files() == {"taken/bob.cer", "taken/x.cer", long}
    (told,) = place.told(Name.SERVICE_ERROR)
    assert str(told["reason"]).endswith(f"{long}: File name too long")
