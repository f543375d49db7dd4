"""Requests that go out as files, and whatever people put into the folder certificates come by."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.peers.authority import OpensslAuthority
from tests.unit.enrol.asking import OTHER, wanted

from gatepost.enrol.file import ByFile, name_of, written
from gatepost.enrol.source import Issued, Pending, Wanted
from gatepost.errors import Unavailable

pytestmark = pytest.mark.peer("openssl")

NOW = datetime.now(UTC)
LATER = NOW + timedelta(minutes=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    return OpensslAuthority.made(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def source(tmp_path: Path) -> ByFile:
    for name in ("outbox", "inbox"):
        (tmp_path / name).mkdir()
    return ByFile("files", tmp_path / "outbox", tmp_path / "inbox")


async def pending(source: ByFile, asked: Wanted) -> Pending:
    found = await source.request(asked, NOW)
    assert isinstance(found, Pending)
    return found


def read_by_openssl(path: Path) -> str:
    done = subprocess.run(
        ("openssl", "req", "-verify", "-noout", "-subject", "-in", path),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


async def test_out(source: ByFile) -> None:
    """Nobody can read the request, or tell whose it is."""
    asked = wanted("alice@example.com", "encrypt")
    old = os.umask(0o077)
    try:
        found = await pending(source, asked)
    finally:
        os.umask(old)
    (path,) = source.outbox.iterdir()
    assert path.name == found.state == name_of(asked)
    assert path.name.startswith("alice@example.com-encrypt-")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert found.waits_for == f"the certificate for {path} to be put into {source.inbox}"
    assert "CN = alice@example.com" in read_by_openssl(path)
    assert written(asked.request) == path.read_text()


@pytest.mark.parametrize(
    ("address", "begins"),
    [
        ("@example.com", "domain@example.com-sign-"),
        ("../../etc/passwd@example.com", "_._.._etc_passwd@example.com-sign-"),
        (".hidden\n@example.com", "_hidden_@example.com-sign-"),
        ("-rf@example.com", "_rf@example.com-sign-"),
        ("ä" * 20 + "@example.com", "_" * 20 + "@example.com-sign-"),
    ],
)
async def test_strange_names(source: ByFile, address: str, begins: str) -> None:
    """An address leads out of the folder, or its file is taken for an option."""
    await pending(source, wanted(address, mailbox=None))
    (path,) = source.outbox.iterdir()
    assert path.name.startswith(begins)


Form = Callable[[OpensslAuthority, bytes], bytes]


def _pem(_: OpensslAuthority, leaf: bytes) -> bytes:
    return b"for Alice:\n" + leaf


def _der(_: OpensslAuthority, leaf: bytes) -> bytes:
    done = subprocess.run(
        ("openssl", "x509", "-outform", "DER"), input=leaf, capture_output=True, check=True
    )
    return done.stdout


def _with_issuers(authority: OpensslAuthority, leaf: bytes) -> bytes:
    return authority.bag(leaf, (authority.folder / "issuing.pem").read_bytes())


@pytest.mark.parametrize("form", [_pem, _der, _with_issuers])
async def test_in(source: ByFile, authority: OpensslAuthority, form: Form) -> None:
    """A certificate in the form the authority happens to write is not recognised."""
    asked = wanted()
    waiting = await pending(source, asked)
    (source.inbox / "certnew.cer").write_bytes(form(authority, authority.issued(asked.request)))
    shutil.copy(authority.root, source.inbox / "root.crt")
    found = await source.collect(asked, waiting.state, LATER)
    assert isinstance(found, Issued)
    assert found.chain[0].emails == ("alice@example.com",)
    assert len(found.chain) == (3 if form is _with_issuers else 1)
    assert list(source.outbox.iterdir()) == []
    assert (source.inbox / "certnew.cer").exists()
    again = await source.collect(asked, waiting.state, LATER)
    assert again == found  # whoever collects may die before it is filed


async def test_each_its_own(source: ByFile, authority: OpensslAuthority) -> None:
    """Of several certificates in one file people get each other's."""
    asked = wanted(), wanted("bob@example.com", key=OTHER)
    states = [(await pending(source, one)).state for one in asked]
    both = b"".join(authority.issued(one.request) for one in asked)
    (source.inbox / "all.pem").write_bytes(both)
    for one, state in zip(asked, states, strict=True):
        found = await source.collect(one, state, LATER)
        assert isinstance(found, Issued)
        assert found.chain[0].emails == (one.address,)


async def test_corrected(source: ByFile, authority: OpensslAuthority) -> None:
    """A wrong certificate that came first keeps out the right one."""
    asked = wanted()
    waiting = await pending(source, asked)
    wrong = wanted(mailbox="bob@example.com")
    (source.inbox / "1.pem").write_bytes(authority.issued(wrong.request, days=15))
    found = await source.collect(asked, waiting.state, LATER)
    assert isinstance(found, Pending)
    assert "; the certificate is for bob@example.com, not for alice@" in found.waits_for
    (source.inbox / "2.pem").write_bytes(authority.issued(asked.request))
    assert isinstance(await source.collect(asked, waiting.state, LATER + timedelta(1)), Issued)


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"", "not a certificate"),
        (b"not yet\n", "not a certificate"),
        (b"\x30\x82\xff\xff" * 100, "not a certificate"),
        (b"M" * 10_000_000, "its 10000000 octets are more than 1048576"),
        (b"-----BEGIN PRIVATE KEY-----\n", "the file is PEM but holds no certificate"),
        (b"-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n", "not a bag"),
    ],
    ids=["empty", "text", "der", "huge", "key", "bag"],
)
async def test_bad(source: ByFile, authority: OpensslAuthority, octets: bytes, told: str) -> None:
    """One bad file stops all others, or nobody is told of it."""
    asked = wanted()
    waiting = await pending(source, asked)
    (source.inbox / "bad.cer").write_bytes(octets)
    found = await source.collect(asked, waiting.state, LATER)
    assert isinstance(found, Pending)
    assert f"; {source.inbox / 'bad.cer'} is of no use: {told}" in found.waits_for
    state = await source.answers(LATER)
    assert state.startswith(f"1 request waits in {source.outbox}; {source.inbox / 'bad.cer'} is of")
    (source.inbox / "good.cer").write_bytes(authority.issued(asked.request))
    assert isinstance(await source.collect(asked, waiting.state, LATER + timedelta(1)), Issued)


async def test_half_copied(source: ByFile, authority: OpensslAuthority) -> None:
    """A file read while it is being copied is never looked at again."""
    asked = wanted()
    waiting = await pending(source, asked)
    leaf, path = authority.issued(asked.request), source.inbox / "slow.pem"
    path.write_bytes(leaf[:200])
    assert isinstance(await source.collect(asked, waiting.state, LATER), Pending)
    path.write_bytes(leaf)
    assert isinstance(await source.collect(asked, waiting.state, LATER + timedelta(1)), Issued)


async def test_links_and_pipes(source: ByFile, authority: OpensslAuthority) -> None:
    """A pipe in the folder halts the gateway; a link shows files of others."""
    asked = wanted()
    waiting = await pending(source, asked)
    elsewhere = source.outbox.parent / "elsewhere.pem"
    elsewhere.write_bytes(authority.issued(asked.request))
    (source.inbox / "link.pem").symlink_to(elsewhere)
    os.mkfifo(source.inbox / "pipe.pem")
    (source.inbox / "folder.pem").mkdir()
    shutil.copy(elsewhere, source.inbox / ".copying.pem")
    found = await source.collect(asked, waiting.state, LATER)
    assert isinstance(found, Pending)
    assert "is of no use" not in found.waits_for


async def test_taken_away(source: ByFile) -> None:
    """A request that was fetched from the outbox is put there anew, and sent twice."""
    asked = wanted()
    waiting = await pending(source, asked)
    next(source.outbox.iterdir()).unlink()
    await source.collect(asked, waiting.state, LATER)
    assert list(source.outbox.iterdir()) == []


async def test_no_folder(source: ByFile) -> None:
    """A folder that is not mounted ends a request for good."""
    source.inbox.rmdir()
    with pytest.raises(Unavailable, match="inbox cannot be used: No such file or directory; it"):
        await source.request(wanted(), NOW)
    shutil.rmtree(source.outbox)
    with pytest.raises(Unavailable, match="outbox cannot be used"):
        await source.request(wanted(), NOW)
    with pytest.raises(Unavailable, match="outbox cannot be used"):
        await source.answers(NOW)


async def test_state_leads_nowhere(source: ByFile, authority: OpensslAuthority) -> None:
    """What is remembered of a request deletes another file."""
    asked = wanted()
    (source.inbox / "alice.pem").write_bytes(authority.issued(asked.request))
    precious = source.outbox.parent / "precious"
    precious.touch()
    assert isinstance(await source.collect(asked, "../precious", NOW), Issued)
    assert precious.exists()
