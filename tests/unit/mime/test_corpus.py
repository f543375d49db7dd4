"""The message corpus: real mail and hostile mail through the slicer."""

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatepost.errors import Malformed
from gatepost.mime import split_header
from gatepost.mime.canonical import convert, crlf
from gatepost.mime.entity import Entity, decoded, parse, walk
from gatepost.mime.headers import author, fields, filename, mailboxes

# What OpenSSL verified when the corpus was made; each source's own way of writing MIME.
SAMPLES = (
    "rfc4134/msg/4.8.eml",
    "thunderbird-smime/msg/smime/alice.dsig.SHA512.multipart.eml",
    "thunderbird-smime/msg/smime/alice.plain.dsig.SHA384.multipart.dave.dsig.SHA384.multipart.eml",
    "pkits/msg/SignedValidSignaturesTest1.eml",
    "bouncycastle-mail/msg/multi-alternative.eml",
    "bouncycastle-mail/msg/extra-nl.eml",
    "bouncycastle-mail/msg/qp-soft-break.eml",
    "protected-headers/msg/smime-multipart-signed.eml",
    "pkijs/msg/TestSMIME.eml",
    "rfc9788/msg/smime-multipart-hp.eml",
)


def entries(corpus: Path) -> Iterator[dict[str, Any]]:
    for line in (corpus / "expected.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] not in {"path", "vector"} and (corpus / entry["file"]).is_file():
            yield entry


def exercise(octets: bytes) -> None:
    split_header(octets)
    tree = parse(octets)
    for entity in walk(tree):
        decoded(entity)
        filename(entity.header)
        for field in fields(entity.header):
            assert field.text is not None
            mailboxes(field.value)
    author(tree.header)
    convert(octets)


@pytest.mark.corpus
def test_nothing_in_the_corpus_breaks_the_slicer(corpus: Path) -> None:
    """One odd mail stops the queue."""
    seen = 0
    for entry in entries(corpus):
        octets = (corpus / entry["file"]).read_bytes()
        for form in (octets, crlf(octets)):
            began = time.process_time()
            try:
                exercise(form)
            except Malformed:
                pytest.fail(f"{entry['file']} is refused")
            assert time.process_time() - began < 1, entry["file"]
        seen += 1
    assert seen > 1000


def signed_parts(octets: bytes) -> Iterator[tuple[Entity, Entity]]:
    for entity in walk(parse(octets)):
        if entity.content_type.essence == "multipart/signed" and len(entity.children) == 2:
            yield entity.children[0], entity.children[1]


@pytest.mark.corpus
def test_signed_parts_are_cut_to_the_octet(corpus: Path) -> None:
    """Good signatures are shown as broken."""
    seen = 0
    for entry in entries(corpus):
        digest = entry.get("observed", {}).get("content_sha256")
        octets = (corpus / entry["file"]).read_bytes()
        tree = parse(octets)
        if digest and tree.content_type.essence == "multipart/signed" and len(tree.children) == 2:
            signed = crlf(tree.children[0].raw)
            assert hashlib.sha256(signed).hexdigest() == digest, entry["file"]
            seen += 1
    assert seen > 100


@pytest.mark.corpus
@pytest.mark.peer("openssl")
@pytest.mark.parametrize("name", SAMPLES)
def test_openssl_verifies_what_was_cut_out(corpus: Path, tmp_path: Path, name: str) -> None:
    """We agree with ourselves only."""
    octets = (corpus / name).read_bytes()
    for number, (content, signature) in enumerate(signed_parts(octets)):
        one, two = tmp_path / f"content{number}", tmp_path / f"signature{number}"
        one.write_bytes(crlf(content.raw))
        two.write_bytes(decoded(signature))
        command = ["openssl", "cms", "-verify", "-binary", "-noverify", "-inform", "DER", "-in", str(two), "-content", str(one), "-out", str(tmp_path / "out")]  # fmt: skip
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert list(signed_parts(octets))
