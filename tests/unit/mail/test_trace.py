"""Trace fields: what our own says, and that nobody else's says it for us."""

from datetime import datetime

import pytest

from gatepost.mail.address import Mailbox
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.field import fields, first
from gatepost.mail.message import Arrival
from gatepost.mail.trace import (
    Result,
    authentication_results,
    count_received,
    received,
    strip_authentication_results,
)

ALICE = Mailbox.parse("alice@example.org")
BOB, CAROL = (Recipient(Mailbox.parse(f"{name}@example.net")) for name in ("bob", "carol"))


def value(octets: bytes, name: str) -> str:
    found = first(octets, name)
    assert found is not None
    assert found.raw == octets
    return found.value.decode()


def test_received_names_every_hop_fact(now: datetime) -> None:
    """An administrator cannot tell which way a mail came, or whether it was encrypted."""
    arrival = Arrival(
        "4ABC", now, peer="192.0.2.1", helo="mail.example.org", tls="TLSv1.3 TLS_AES_256_GCM_SHA384", protocol="ESMTPSA",
    )  # fmt: skip
    made = received(arrival, Envelope(ALICE, (BOB,)), "gate.example.org", now)
    assert value(made, "Received") == (
        "from mail.example.org ([192.0.2.1]) by gate.example.org with ESMTPSA"
        " (TLSv1.3 TLS_AES_256_GCM_SHA384) id 4ABC for <bob@example.net>;"
        " Mon, 1 Jun 2026 12:00:00 +0000"
    )


def test_received_discloses_no_other_recipient(now: datetime) -> None:
    """A blind copy's address stands in everybody's mail."""
    made = received(Arrival("1", now), Envelope(ALICE, (BOB, CAROL)), "gate.example.org", now)
    assert b"bob" not in made
    assert b"for" not in made


@pytest.mark.parametrize("hostile", ["a\r\nX-Evil: 1", "a) (b", "x" * 5000, "", "ä", "a;b@c"])
def test_a_hostile_peer_cannot_write_the_field(hostile: str, now: datetime) -> None:
    """A HELO name forges a trace field."""
    arrival = Arrival(hostile, now, peer=hostile, helo=hostile, tls=hostile, protocol=hostile)
    made = received(arrival, Envelope(ALICE, (BOB,)), hostile, now)
    assert len(fields(made)) == 1
    assert made.count(b"(") <= 1
    assert made.replace(b"\r\n ", b" ").endswith(b"; Mon, 1 Jun 2026 12:00:00 +0000\r\n")
    assert max(map(len, made.split(b"\r\n"))) <= 998


def test_ipv6_is_tagged(now: datetime) -> None:
    """RFC 5321 section 4.1.3: an IPv6 literal without its tag is a syntax error."""
    arrival = Arrival("1", now, peer="2001:db8::1%eth0", helo="h")
    made = received(arrival, Envelope(ALICE, (BOB,)), "gate", now)
    assert b"from h ([IPv6:2001:db8::1]) by gate" in made.replace(b"\r\n", b"")


def test_count_received() -> None:
    """A mail loop runs for ever."""
    assert count_received(b"Received: a\r\nX-Received: b\r\nreceived: c\r\n\td\r\n") == 2


def test_results_are_written_as_rfc_8601_asks() -> None:
    """The user's mail client shows no verdict, or a forged one."""
    properties = (
        ("body.smime-part", "1.2"),
        ("body.smime-identifier", "bob@example.net"),
        ("body.smime-issuer", 'CN="Bob", O=X\r\nY'),
    )
    result = Result("smime", "pass", "valid (really)\r\nX: y", properties)
    made = authentication_results("gate.example.org", [result, Result("smime", "none")])
    assert value(made, "Authentication-Results") == (
        "gate.example.org; smime=pass (valid ?really? X: y) body.smime-part=1.2"
        ' body.smime-identifier=bob@example.net body.smime-issuer="CN=\\"Bob\\", O=X?Y";'
        " smime=none"
    )
    assert value(authentication_results("g", []), "Authentication-Results") == "g; none"


@pytest.mark.parametrize(
    "claim",
    [
        b" gate.example.org; smime=pass",
        b"gate.example.org",
        b" GATE.Example.org 1; smime=pass",
        b"\r\n\tgate.example.org;\r\n smime=pass",
        b" (comment (nested)) gate.example.org; smime=pass",
        b" gate.example.org(c) (1) 1 (2); smime=pass",
        b' "gate.example.org"; smime=pass',
        b' "gate.\\example.org"; smime=pass',
        b" gate.example.org.; smime=pass",
        b" gate(c).example.org; smime=pass",
        b" (unterminated gate.example.org; smime=pass",
        b" ; gate.example.org; smime=pass",
    ],
)
def test_forged_results_go(claim: bytes) -> None:
    """A stranger writes `smime=pass` in our name and the client believes it."""
    header = b"A: b\r\nauthentication-RESULTS:" + claim + b"\r\nC: d\r\n"
    assert strip_authentication_results(header, "gate.example.org") == b"A: b\r\nC: d\r\n"


@pytest.mark.parametrize(
    "claim", [b"mx.example.net; spf=pass", b"mx.example.net; x=gate.example.org", b"xgate.example.org; none"]
)  # fmt: skip
def test_others_results_stay(claim: bytes) -> None:
    """A DKIM signature covers another host's results."""
    header = b"Authentication-Results: " + claim + b"\r\n"
    assert strip_authentication_results(header, "gate.example.org") == header
