"""`gatepost evidence`: listed, exported, its head carried away, and checked without us."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.pki_builder import user
from tests.unit.cli.conftest import Gatepost
from tests.world import NOW

from gatepost.config import load
from gatepost.engine.service import Stores
from gatepost.mail.content import Octets, join
from gatepost.smime.sign import sign

BOB = "bob@partner.example"


def record(queue_id: str, text: bytes = b"I owe you 100.\r\n") -> bytes:
    """As the gateway keeps Bob's mail, whose CA names nobody to be asked."""
    signer = user(BOB, "p256").signer
    header = f"From: {BOB}\r\nTo: alice@example.com\r\nSubject: x\r\n\r\n".encode()
    header, body = sign(header, Octets(text), signer, now=NOW, names=lambda: "t")
    chain = (signer.certificate, *signer.chain)
    said = {
        "signer": "Bob",
        "signing_time": NOW.isoformat(),
        "certificates": [base64.b64encode(one.der).decode() for one in chain],
    }
    data = {
        "queue_id": queue_id,
        "recipients": ["alice@example.com"],
        "signatures": [{"kind": "multipart-signed", "verdict": "valid", "signers": [said]}],
        "revocation": [],
        "size": 1,
        "mail": base64.b64encode(header + join(body)).decode(),
    }
    return json.dumps(data).encode()


def keep(home: Path, *records: bytes, now: datetime = NOW) -> None:
    """Some records in the installation's directory."""
    stores = Stores.open(load(home / "gatepost.toml"))
    for one in records:
        stores.directory.evidence.keep(one, stores.evidence_seal, now=now)
    stores.close()


def test_from_the_gateway_to_the_judge(gatepost: Gatepost, home: Path, tmp_path: Path) -> None:
    """Evidence cannot be taken out of the gateway, or only the gateway can read it."""
    out, head = tmp_path / "evidence", tmp_path / "head"
    assert gatepost("evidence", "list").code == 1
    keep(home, record("Q1"), record("Q2"))
    said = gatepost("evidence", "list", "--json").data
    assert [(one["queue_id"], one["signers"]) for one in said] == [("Q1", ["Bob"]), ("Q2", ["Bob"])]
    ran = gatepost("evidence", "export", "-o", out)
    assert ran.code == 2
    assert "gatepost cert issue postmaster@example.com" in ran.err
    assert not out.exists()
    assert gatepost("cert", "issue", "postmaster@example.com", "--kind", "sign").code == 0
    assert gatepost("evidence", "export", "-o", out, "--json").code == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert gatepost("evidence", "head", "-o", head, "--json").code == 0
    ran = gatepost("evidence", "verify", out, "--head", head, "--json")
    assert ran.code == 0, ran.err
    assert ran.data["heads"] == [2]
    assert [one["signature"] for one in ran.data["records"]] == ["valid", "valid"]
    assert [one["path"] for one in ran.data["records"]] == ["holds", "holds"]
    assert (
        "goes on from the head of record 2"
        in gatepost("evidence", "verify", out, "--head", head).out
    )
    assert gatepost("evidence", "export", "--last", "1", "-o", out).code == 0
    ran = gatepost("evidence", "verify", out, "--head", head)
    assert ran.code == 2
    assert "cut short" in ran.err


def test_what_is_judged_otherwise_is_told(gatepost: Gatepost, home: Path, tmp_path: Path) -> None:
    """A record that proves nothing passes because nobody altered it since."""
    bad = json.loads(record("Q1"))
    mail = base64.b64decode(bad["mail"]).replace(b"100", b"900")
    bad["mail"] = base64.b64encode(mail).decode()
    late = datetime.now(UTC) + timedelta(days=40_000)
    keep(home, json.dumps(bad).encode())
    keep(home, record("Q2"), now=late)
    assert gatepost("cert", "issue", "postmaster@example.com", "--kind", "sign").code == 0
    out = tmp_path / "evidence"
    assert gatepost("evidence", "export", "-o", out).code == 0
    ran = gatepost("evidence", "verify", out, "--json")
    assert ran.code == 1
    assert [one["agrees"] for one in ran.data["records"]] == [False, False]
    assert ran.data["records"][0]["signature"] == "invalid"
    assert "expired" in ran.data["records"][1]["path"]
    assert "judged otherwise" in gatepost("evidence", "verify", out).err


def test_anything_else(gatepost: Gatepost, home: Path, tmp_path: Path) -> None:
    """A stranger's file ends the command with a traceback."""
    odd = tmp_path / "odd"
    keep(home, b"[]")
    assert gatepost("cert", "issue", "postmaster@example.com", "--kind", "sign").code == 0
    assert gatepost("evidence", "export", "-o", odd).code == 0
    ran = gatepost("evidence", "verify", odd)
    assert ran.code == 2
    assert f"{odd}: line 1: record 1 has no form that is known here" in ran.err
    for octets, why in (
        (b"", "the file is not what was exported: it is empty"),
        (b"\n", "line 1 is no line of evidence"),
        (b"null\n", "line 1 is no line of evidence"),
        (b'{"signature":1}\n', "line 1 is no line of evidence"),
        (b"\xff" * 100, "line 1 is not what was exported: it does not end as it was written"),
    ):
        odd.write_bytes(octets)
        ran = gatepost("evidence", "verify", odd)
        assert ran.code == 2
        assert ran.err.startswith(f"gatepost: {odd}: {why}\n"), octets
    assert gatepost("evidence", "verify", tmp_path / "missing").code == 2


def test_which_of_the_files_it_is(gatepost: Gatepost, home: Path, tmp_path: Path) -> None:
    """Of four files on the command line one is not what it should be."""
    good, odd = tmp_path / "good", tmp_path / "odd"
    keep(home, record("Q1"))
    assert gatepost("cert", "issue", "postmaster@example.com", "--kind", "sign").code == 0
    assert gatepost("evidence", "export", "-o", good).code == 0
    odd.write_bytes(b"[]")
    ran = gatepost("evidence", "verify", good, "--head", odd)
    assert (ran.code, ran.err) == (2, f"gatepost: {odd}: this is not a head of evidence\n")
    ran = gatepost("evidence", "verify", good, "--stamps", odd)
    assert (ran.code, f"gatepost: {odd}: " in ran.err) == (2, True)
    whole = good.read_bytes()
    for octets, why in (
        (
            whole[: whole.index(b"\n") + 1],
            "line 1 is not what was exported: the end is missing after it",
        ),
        (whole + b"\n", "line 3 is not what was exported: it does not end as it was written"),
    ):
        good.write_bytes(octets)
        ran = gatepost("evidence", "verify", good)
        assert (ran.code, ran.err) == (
            2,
            f"gatepost: {good}: {why}\n",
        )
