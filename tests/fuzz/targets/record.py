"""What was written down: evidence, backups, rows of the queue, configuration and policy.

Invariant: a value, or an error the function names; evidence holds to its last octet; a row goes
to nobody whom its body was not sealed for; what is understood is written as it was read.
"""

from __future__ import annotations

import base64
import json
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.fuzz import choice, papers, people
from tests.fuzz.papers import NOW
from tests.unit.config.test_load import GOOD

from gatepost.admin.backup import content
from gatepost.admin.backup.restore import _counted
from gatepost.admin.testimony import Judge, Judged
from gatepost.config import parse as configured
from gatepost.config.locate import line_of, lines
from gatepost.config.quantity import duration, written
from gatepost.config.quantity import octets as size
from gatepost.errors import ConfigError
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.policy import compose, parse
from gatepost.store import exhibit, queue_row
from gatepost.store.chain import BEGINNING, linked
from gatepost.store.exhibit import NotProven, Stamp
from gatepost.store.queue_item import NewItem
from gatepost.vault.seal import SealBroken

EPOCH = 1_780_000_000
HERE = Path("/nowhere/gatepost.toml")

WORDS = (
    *(b'{"proof":"', b'{"stamp":1', b'"record":null', b'"at":1e999', b'"number":', b'"sum":"', b"\n"),
    *(b'"signatures":[{"signers":[{', b'"certificates":["', b'"signing_time":null', b'"mail":null'),
    *(b'"revocation":[', b'"proofs":[]', b'"base64"', b'{"to":[["a@b",null,null]]', b'"last"', b"[" * 50),
    *(b"[gateway]\n", b"[[rule]]\n", b"hostname = ", b"domains = [", b'"""', b"'''", b"a.b.", b"inf"),
    *(b'encrypt = "mandatory"\n', b'name = "a"\n', b'to = "*.a.example"\n', b"[inbound.tags]\n", b'"5d"'),
    *(b"M\0\0\0\x02", b"F\0\0\0", b"I\0\0\0", b"E\0\0\0", b"\\ud800"),
)  # fmt: skip


def target(octets: bytes) -> None:
    """One input."""
    choice.read(READERS, octets)


def file(octets: bytes) -> None:
    """A file of evidence proves itself when it is the one that was exported."""
    judge, judged = Judge(), list[Judged]()
    with suppress(NotProven):
        lines_ = octets.splitlines(keepends=True)
        exhibit.verify(lines_, lambda *one: judged.append(judge.judged(*one)))
        assert octets == exported()


def head(octets: bytes) -> None:
    """So does the head of a chain."""
    with suppress(NotProven):
        exhibit.read_head(octets)
        assert octets == signed_head()


def testimony(octets: bytes) -> None:
    """Whatever a record says, it is judged or told to be none."""
    with suppress(NotProven):
        found = Judge().judged(linked(1, EPOCH, BEGINNING, octets), {"list": papers.lists()[0].der})
        assert json.dumps(found.as_data())


def backup(octets: bytes) -> None:
    """Entries in an order that is right, or no backup."""
    with suppress(SealBroken, ConfigError):
        assert _counted(entries(octets)).as_data()
    with suppress(
        ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError
    ):
        one = content.File.of(octets)
        assert content.File.of(one.as_entry()) == one
        assert not Path(one.below).is_absolute()
        assert ".." not in Path(one.below).parts


def entries(octets: bytes) -> Iterator[tuple[bytes, bytes]]:
    """A kind, four octets of length, a payload, and so on."""
    while octets:
        length = int.from_bytes(octets[1:5], "big")
        yield octets[:1], octets[5 : 5 + length]
        octets = octets[5 + length :]


def row(octets: bytes) -> None:
    """A row of the queue leads where its body was sealed for, or nowhere."""
    listed, options, path, moment = (octets.split(b"\n") + [b""] * 4)[:4]
    stored = int.from_bytes(moment[:8], "big", signed=True)
    texts = [one.decode("utf-8", "replace") for one in (listed, options, path)]
    made = (
        1,
        "Q1",
        "Q1",
        "hop",
        "active",
        "",
        stored,
        stored,
        0,
        0,
        0,
        texts[2],
        *texts[:2],
        7,
        None,
    )
    with suppress(ValueError, TypeError, LookupError):
        bond = queue_row.bond_of(made)
        item = queue_row.restored(made, lambda _: Octets(b""))
        whole = json.loads(texts[1]).get("to")
        sealed = {tuple(one) for one in whole or ()}
        for one in item.envelope.recipients if bond else ():
            assert (str(one.mailbox), one.notify, one.orcpt) in sealed


def configuration(octets: bytes) -> None:
    """A configuration, or a complaint that names the line; every key has one."""
    text = octets.decode("utf-8", "replace")
    with suppress(ConfigError):
        configured(text, HERE)
    found = lines(text)
    with suppress(tomllib.TOMLDecodeError, RecursionError):
        for key in tomllib.loads(text):
            assert not key or line_of(found, (key,))


def policy(octets: bytes) -> None:
    """A policy is written as it was read."""
    with suppress(ConfigError):
        found = parse.parse(octets.decode("utf-8", "replace"))
        assert parse.parse(compose.compose(found)) == found


def quantity(octets: bytes) -> None:
    """Durations and sizes as people write them."""
    text = octets.decode("utf-8", "replace")
    with suppress(ValueError):
        found = duration(text)
        assert duration(written(found)) == found
    with suppress(ValueError):
        assert size(text) >= 0


READERS: tuple[choice.Reader, ...] = (
    file,
    head,
    testimony,
    backup,
    row,
    configuration,
    policy,
    quantity,
)


@cache
def exported() -> bytes:
    """A file of two records, a proof and a time stamp."""
    first = linked(1, EPOCH, BEGINNING, next(testimonies()))
    second = linked(2, EPOCH + 1, first.digest, b"{}").emptied()
    signer = people.person("bob@example.net", "ed25519").signer
    proofs, stamps = [papers.lists()[0].der], [Stamp(1, b"token")]
    return b"".join(exhibit.export([first, second], signer, NOW, proofs=proofs, stamps=stamps))


@cache
def signed_head() -> bytes:
    """The head of a chain."""
    one = linked(1, EPOCH, BEGINNING, b"{}")
    return exhibit.head(one, people.person("bob@example.net", "ed25519").signer, NOW)


def testimonies() -> Iterator[bytes]:
    """Records of a mail that Bob signed, with and without it."""
    root, _, bob, *_ = papers.everybody()
    chain = [base64.b64encode(one.der).decode() for one in (bob, root)]
    signer = {"signer": "bob@example.net", "signing_time": NOW.isoformat(), "certificates": chain}
    told = {"fingerprint": bob.fingerprint, "status": "revoked", "proofs": ["list"]}
    for mail, inside in ((None, None), (LETTER, None), (None, LETTER)):
        coded = [base64.b64encode(one).decode() if one else None for one in (mail, inside)]
        yield json.dumps(
            {
                "queue_id": "Q1",
                "signatures": [{"signers": [signer]}],
                "revocation": [told],
                "mail": coded[0],
                "inside": coded[1],
            }
        ).encode()


LETTER = (
    b"From: bob@example.net\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n\r\n'
    b"--b\r\n\r\nx\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n\r\n\x30\x00\r\n--b--\r\n"
)


def backups() -> Iterator[bytes]:
    """A backup of everything."""
    manifest = {
        "format": content.FORMAT,
        "created": "",
        "version": "1",
        "schema": "0001",
        "hostname": "gw",
        "domains": ["a.example"],
        "config": "/etc/a.toml",
    }
    values = [*("Q1", "Q1", "hop", "active", "", 1, 1, 0, 0, 0, None, "[]", "{}"), 4]
    yield b"".join(
        kind + len(payload).to_bytes(4, "big") + payload
        for kind, payload in (
            (content.MANIFEST, content.written(manifest)),
            (content.KEY, bytes(32)),
            (content.FILE, content.File("/etc/a.toml", 0o644, b"a = 1", "b").as_entry()),
            (content.ITEM, content.written(values)),
            (content.BODY, b"body"),
            (content.RECORDS, content.written([["Q1", 1, "a", "{}"]])),
            (content.ROWS, content.rows_entry("setting", [{"key": "a", "value": b"b"}])),
            (content.END, content.written({"files": 1, "items": 1, "records": 1, "rows": 1})),
        )
    )
    yield content.File("/a", 0o600, b"x", "../b").as_entry()


def rows() -> Iterator[bytes]:
    """Rows as the queue writes them."""
    to = Recipient(Mailbox("bob", "example.net"), "FAILURE", "rfc822;b")
    for secure in (True, False):
        envelope = Envelope(
            Mailbox("a", "b.example"), (to,), ret="HDRS", secure=secure, origin=(("NAME", "x"),)
        )
        options = queue_row._options_text(NewItem("Q1", envelope, "hop", Octets(b"")))
        listed = queue_row._recipients_text((to,), (Reply(450, "4.0.0", "no"),))
        yield b"\n".join((listed.encode(), options.encode(), b"a@b.example", bytes(6) + b"\1\2"))
    yield b'[["eve@a.example",null,null,null]]\n{}\n'


POLICY = """\
[defaults]
encrypt = "opportunistic"
[triggers]
subject = ["[encrypt]"]
headers = ["X-Secret: yes"]
[inbound]
keep_signature = true
[inbound.tags]
encrypted = "[geheim]"
[[inbound.rule]]
name = "Partners"
from = "*.a.example"
[[rule]]
name = "A"
to = "a@b.example"
from = "*"
encrypt = "mandatory"
profile = "kim"
"""


def seeds() -> Iterator[bytes]:
    """What we write ourselves."""
    yield from choice.sown(
        READERS,
        {
            file: [exported()],
            head: [signed_head()],
            testimony: testimonies(),
            backup: backups(),
            row: rows(),
            configuration: [
                GOOD.encode(),
                b'a.b = 1\n[c]\nd = """\ne"""\n[[f]]\ng = [{ h = 1 }]\n',
            ],
            policy: [POLICY.encode(), b""],
            quantity: [b"90s", b"5m", b"500ms", b"2w", b"25MiB", b"7"],
        },
    )
