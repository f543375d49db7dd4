"""Address lists: whom a mail is from decides who signs it."""

import pytest

from gatepost.mail.mailbox_list import MAXIMUM_MAILBOXES, author, mailboxes, seen


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"alice@example.org", ["alice@example.org"]),
        (b"Alice <alice@example.org>", ["alice@example.org"]),
        (b'"Doe, Alice" <alice@example.org>, bob@example.org', ["alice@example.org", "bob@example.org"]),
        (b'"a \\" <x@y>, b" <alice@example.org>', ["alice@example.org"]),
        (b"alice@example.org (Alice (the, first))", ["alice@example.org"]),
        (b"(c) alice(c)@(c)example.org", ["alice@example.org"]),
        (b"(\\) x@y) alice@example.org", ["alice@example.org"]),
        (b"Team: alice@example.org, Bob <bob@example.org>;, carol@example.org", ["alice@example.org", "bob@example.org", "carol@example.org"]),
        (b"undisclosed-recipients:;", []),
        (b"<@relay.example,@b.example:alice@example.org>", ["alice@example.org"]),
        (b'"odd local"@example.org', ['"odd local"@example.org']),
        (b"alice@[192.0.2.1]", ["alice@[192.0.2.1]"]),
        (b"=?utf-8?q?alice=40example.org?= <mallory@evil.example>", ["mallory@evil.example"]),
        (b"alice@example.org <mallory@evil.example>", ["mallory@evil.example"]),
        (b"<alice@example.org> <mallory@evil.example>", []),
        (b"broken, alice@example.org", ["alice@example.org"]),
        (b"<alice@example.org", ["alice@example.org"]),
        (b"alice bob@example.org", []),
        (b'"unterminated <alice@example.org>', []),
        (b"(unterminated <alice@example.org>", []),
        (b"bob@example.org, (unterminated alice@example.org", ["bob@example.org"]),
        (b"J\xc3\xb6rg <j\xc3\xb6rg@ex\xc3\xa4mple.org>", ["jörg@exämple.org"]),
        (b"J\xf6rg <alice@example.org>", ["alice@example.org"]),
        (b"j\xf6rg@example.org", []),
        (b"", []),
        (b",,;:<>@", []),
    ],
)  # fmt: skip
def test_mailboxes(value: bytes, expected: list[str]) -> None:
    """A display name that looks like an address gets its mail signed by somebody else."""
    assert [str(mailbox) for mailbox in mailboxes(value)] == expected


def test_author_is_the_first_from() -> None:
    """The signature is made in another author's name."""
    found = author(
        b"To: x@y.example\r\nfrom: A <a@x.example>, b@x.example\r\nFrom: c@x.example\r\n"
    )
    assert str(found) == "a@x.example"
    assert author(b"To: x@y.example\r\n") is None
    assert author(b"From: nobody\r\n") is None


def test_the_number_of_mailboxes_is_limited() -> None:
    """A To field of a megabyte costs a megabyte of mailboxes in every later step."""
    assert len(mailboxes(b"a@b.example," * (MAXIMUM_MAILBOXES + 5))) == MAXIMUM_MAILBOXES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Eve <eve@example.net>", ["eve@example.net"]),
        ("boss@example.com <eve@example.net>", ["boss@example.com", "eve@example.net"]),
        ('"boss@example.com" <eve@example.net>', ["boss@example.com", "eve@example.net"]),
        ("eve@example.net ('boss@example.com')", ["eve@example.net", "boss@example.com"]),
        ("ｂoss＠example.com <eve@example.net>", ["boss@example.com", "eve@example.net"]),
        ("<@a.example,@b.example:eve@example.net>", ["eve@example.net"]),
        ("at @home, me@ <eve@example.net>", ["eve@example.net"]),
        ("", []),
    ],
)
def test_every_address_a_reader_sees(text: str, expected: list[str]) -> None:
    """A mail from Eve, signed by Eve, is shown as the boss's signed mail."""
    assert [str(one) for one in seen(text)] == expected
