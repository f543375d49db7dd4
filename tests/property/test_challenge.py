"""Whatever pretends to be a challenge: read in linear time, answered by one plain mail or not at all."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.test_targets import mutated
from tests.unit.flow.test_respond import ALICE, CA, FIRST, MAIL, order
from tests.world import NOW

from gatepost.errors import GatepostError, LimitExceeded
from gatepost.flow import challenge
from gatepost.mail.address import Mailbox
from gatepost.mime import headers
from gatepost.mime.entity import split_header

WORDS = [
    *(b"Subject: ", b"From: ", b"To: ", b"Reply-To: ", b"Message-ID: ", b"\r\n ", b"\r\n", b"\n"),
    *(b"ACME: ", b"=?utf-8?q?", b"?=", b"<", b">", b"\0", b"\xff", b"@", b",", b"Auto-Submitted: "),
    *(
        b"Authentication-Results: mx.xyz.example; dkim=pass header.d=ca.example\r\n",
        b";",
        b'"',
        b"(",
    ),
]
HEADER = split_header(MAIL.replace("\n", "\r\n").encode())[0]
PIECES = st.one_of(st.sampled_from(WORDS), st.binary(max_size=20), st.just(HEADER))
HEADERS = st.one_of(
    st.lists(PIECES, max_size=12).map(b"".join),
    st.randoms(use_true_random=False).map(lambda chance: mutated(HEADER, WORDS, chance)),
)
ORDERS = st.sampled_from([order(), order(proof=True, boundary="mx.xyz.example")])


@given(HEADERS, ORDERS)
def test_a_challenge_gives_one_plain_mail_or_none(
    header: bytes, known: challenge.Challenge
) -> None:
    """A stranger's header puts fields of his own into a mail in Alice's name."""
    try:
        part = challenge.token(header)
        fault = challenge.fault(header, (), known)
    except LimitExceeded:
        return
    if part is None or fault:
        return
    made = challenge.response(part, header, known, message_id="<i@xyz.example>", now=NOW)
    outer, body = split_header(made.content)
    names = [one.name for one in headers.fields(outer)]
    assert len(names) == len(set(names)) <= 12
    assert headers.authors(outer) == (Mailbox.parse(ALICE),)
    assert headers.mailboxes(headers.every(outer, "To")[0].value) == (made.to,)
    assert body.startswith(b"-----BEGIN ACME RESPONSE-----\r\n")
    assert len(body.splitlines()) == 3
    assert known.token.encode() not in made.content
    assert b"\n" not in made.content.replace(b"\r\n", b"")


@given(st.binary(max_size=200).map(lambda octets: b"Subject: ACME: " + octets))
def test_a_token_is_of_its_alphabet(header: bytes) -> None:
    """What a stranger writes into a Subject goes into ours unread."""
    found = challenge.token(header)
    assert found is None or (22 <= len(found) <= 512 and found.replace("-", "").isascii())


@pytest.mark.parametrize("piece", WORDS)
def test_repetition_takes_linear_time(piece: bytes) -> None:
    """A header of a megabyte keeps a worker busy for an hour."""
    header = HEADER + b"Authentication-Results: mx.xyz.example; " + piece * (40_000 // len(piece))
    began = time.process_time()
    try:
        challenge.token(header)
        challenge.fault(header + b"\r\n", (), order(proof=True, boundary="mx.xyz.example"))
    except GatepostError:
        pass
    assert time.process_time() - began < 3


def test_the_seed_is_a_challenge() -> None:
    """The inputs above begin from a mail that is refused at once, and prove nothing."""
    assert challenge.token(HEADER) == FIRST
    assert not challenge.fault(HEADER, (), order())
    assert CA in HEADER.decode()
