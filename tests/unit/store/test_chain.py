"""Exported evidence proves itself, or says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import islice, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pki_builder import user

from gatepost.store.chain import BEGINNING, Link, linked, objection
from gatepost.store.exhibit import NotProven, Proven, Stamp, export, head, read_head, verify

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
RECORDS = (b"one", b"", b"three", b"\0\xff" * 20)


def chain(*records: bytes, previous: str = BEGINNING, first: int = 1) -> tuple[Link, ...]:
    links: list[Link] = []
    for number, record in enumerate(records, first):
        links.append(linked(number, 1780000000 + number, previous, record))
        previous = links[-1].digest
    return tuple(links)


@cache
def exported() -> bytes:
    signer = user("evidence@xyz.example", "p256").signer
    stamps = (Stamp(2, b"token"), Stamp(4, b"another"))
    return b"".join(
        export(chain(*RECORDS), signer, NOW, proofs=[b"list", b"answer"], stamps=stamps)
    )


def proven(octets: bytes) -> Proven:
    return verify(octets.splitlines(keepends=True))


def test_it_reads_back() -> None:
    """What was kept for years can be shown to nobody."""
    seen: list[bytes | None] = []
    lists: set[bytes] = set()

    def visit(link: Link, proofs: Mapping[str, bytes]) -> None:
        seen.append(link.record)
        lists.update(proofs.values())

    found = verify(exported().splitlines(keepends=True), visit)
    assert seen == list(RECORDS)
    assert lists == {b"list", b"answer"}
    assert found.stamps == (Stamp(2, b"token"), Stamp(4, b"another"))
    assert list(found.digests) == [1, 2, 3, 4]
    assert found.signer == user("evidence@xyz.example", "p256").certificate
    assert found.signed_at == NOW


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
@settings(max_examples=300, deadline=None)
def test_any_octet_changed_is_found(at: int, bits: int) -> None:
    """Somebody makes a signature better, a date earlier, or a record another one."""
    octets = bytearray(exported())
    octets[at % len(octets)] ^= bits
    with pytest.raises(NotProven):
        proven(bytes(octets))


def test_any_record_taken_out_or_moved_is_found() -> None:
    """What speaks against somebody is not there any more."""
    *lines, last = exported().splitlines(keepends=True)
    for order in islice(permutations(range(len(lines))), 0, None, 211):
        if list(order) != sorted(order):
            with pytest.raises(NotProven):
                proven(b"".join([*(lines[one] for one in order), last]))
    for gone in range(len(lines)):
        with pytest.raises(NotProven):
            proven(b"".join([*lines[:gone], *lines[gone + 1 :], last]))
    for twice in range(len(lines)):
        with pytest.raises(NotProven):
            proven(b"".join([*lines[: twice + 1], *lines[twice:], last]))


@pytest.mark.parametrize("cut", range(0, 600, 37))
def test_a_file_cut_short_is_found(cut: int) -> None:
    """The end, with its signature, is missing and nobody notices."""
    with pytest.raises(NotProven):
        proven(exported()[: len(exported()) - 1 - cut])


def test_another_chain_under_the_same_signature_is_found() -> None:
    """A whole chain is made anew around a changed record."""
    last = exported().splitlines(keepends=True)[-1]
    signer = user("evidence@xyz.example", "p256").signer
    *other, _ = b"".join(export(chain(b"two", *RECORDS[1:]), signer, NOW)).splitlines(keepends=True)
    with pytest.raises(NotProven):
        proven(b"".join([*other, last]))


def test_a_damaged_chain_is_not_exported() -> None:
    """A signature of ours stands under what is not what was kept."""
    links = chain(*RECORDS)
    assert objection(links) == ""
    assert objection((links[0], links[2])) == "record 3 does not follow record 1"
    with pytest.raises(NotProven, match="record 3 does not follow record 1"):
        list(export((links[0], links[2]), user("evidence@xyz.example", "p256").signer, NOW))
    with pytest.raises(NotProven, match="no record"):
        list(export((), user("evidence@xyz.example", "p256").signer, NOW))


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_anything_else_is_refused(octets: bytes) -> None:
    """A file from a stranger stops the command with a traceback."""
    with pytest.raises(NotProven):
        proven(octets)


@pytest.mark.parametrize("at", [-1, 10**30, 1e9, True, "1"])
def test_records_of_no_time_are_refused(at: object) -> None:
    """Whoever made such a file ends the command that looks at it without a word why."""
    one = linked(1, at, BEGINNING, b"one")  # type: ignore[arg-type]
    signer = user("evidence@xyz.example", "p256").signer
    lines, seen = list(export([one.emptied()], signer, NOW)), list[datetime]()
    with pytest.raises(NotProven):
        verify(lines, lambda link, _: seen.append(link.when))
    assert not seen


def test_a_removed_record_leaves_the_chain_whole() -> None:
    """What must be deleted after ten years would break all that came after."""
    signer = user("evidence@xyz.example", "p256").signer
    links = list(chain(*RECORDS))
    links[1] = links[1].emptied()
    assert objection(links) == ""
    found = proven(b"".join(export(links, signer, NOW)))
    assert list(found.digests) == [1, 2, 3, 4]
    links[1] = replace(links[1], inside="0" * 64)
    assert objection(links) == "record 2 is not as it was kept"


def test_a_head_finds_what_was_cut_off() -> None:
    """The last records are taken out, the chain still holds, and nobody notices."""
    signer = user("evidence@xyz.example", "p256").signer
    links = chain(*RECORDS)
    line = head(links[-1], signer, NOW)
    kept = read_head(line)
    assert (kept.number, kept.signed_at) == (4, NOW)
    proven(exported()).check(kept)
    cut = proven(b"".join(export(links[:3], signer, NOW)))
    with pytest.raises(NotProven, match="cut short"):
        cut.check(kept)
    other = proven(b"".join(export(chain(*RECORDS[:3], b"x"), signer, NOW)))
    with pytest.raises(NotProven, match="not the one that the head names"):
        other.check(kept)
    later = proven(b"".join(export(chain(b"a", previous=links[-1].digest, first=5), signer, NOW)))
    with pytest.raises(NotProven, match="begins after"):
        later.check(kept)
    for position in range(len(line)):
        broken = bytearray(line)
        broken[position] ^= 1
        with pytest.raises(NotProven):
            read_head(bytes(broken))
