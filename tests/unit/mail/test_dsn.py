"""Notifications: the author learns what happened, and nothing secret comes back."""

import email
import email.policy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from gatepost.errors import Malformed
from gatepost.mail import dsn
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.delivery import Attempt
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Arrival, Direction, Message
from gatepost.mail.reply import Reply

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
BOB = Recipient(Mailbox.parse("bob@example.net"), orcpt="rfc822;Bob+2Bx@example.net")
JOERG = Recipient(Mailbox.parse("jörg@example.net"))
NO_USER = Attempt(BOB, Reply(550, "5.1.1", "no such\r\nuser é"), "mx.example.net[192.0.2.1]:25")
NO_KEY = Attempt(JOERG, Reply(550, "", "There is no certificate for this recipient."))


def message(body: bytes = b"hello\r\n", ret: str | None = "FULL", sender: str = "alice@example.org") -> Message:  # fmt: skip
    return Message(
        Direction.OUTBOUND,
        Envelope(Mailbox.parse(sender) if sender else None, (BOB, JOERG), ret=ret, envid="QQ+2B1"),
        Arrival("4ABC", NOW),
        b"From: alice@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@x>\r\n",
        Octets(body),
    )


def names() -> Callable[[], str]:
    numbers: Iterator[int] = iter(range(1000))
    return lambda: f"name{next(numbers)}"


def failure(original: Message, *, protected: bool = False) -> EmailMessage:
    header, body = dsn.report(
        dsn.FAILED, original, (NO_USER, NO_KEY), hostname="gate.example.org", names=names(), now=NOW, protected=protected,
    )  # fmt: skip
    parsed = email.message_from_bytes(header + b"\r\n" + body, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not any(part.defects for part in parsed.walk())
    return parsed


def test_a_failure_is_a_report_every_mailer_reads() -> None:
    """Outlook shows a failure as an empty mail, or a list server takes it for a post."""
    report = failure(message())
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert report["To"] == "alice@example.org"
    assert report["Auto-Submitted"] == "auto-replied"
    assert report["Subject"] == "Undeliverable: Grüße"
    human, status, returned = report.iter_parts()
    assert [part.get_content_type() for part in (human, status, returned)] == [
        "text/plain",
        "message/delivery-status",
        "message/rfc822",
    ]
    text = human.get_content()
    assert "bob@example.net" in text
    assert "mx.example.net[192.0.2.1]:25 said: 550 5.1.1 no such user ?" in text
    assert "There is no certificate for this recipient." in text
    assert "send the message\r\nagain" in text


def test_the_status_part_names_each_recipient() -> None:
    """A ticket system cannot tell which of its customers has a wrong address."""
    status = list(failure(message()).iter_parts())[1]
    envelope, bob, joerg = list(status.walk())[1:]
    assert envelope["Original-Envelope-Id"] == "QQ+1"
    assert envelope["Reporting-MTA"] == "dns; gate.example.org"
    assert bob["Original-Recipient"] == "rfc822; Bob+x@example.net"
    assert bob["Final-Recipient"] == "rfc822; bob@example.net"
    assert (bob["Action"], bob["Status"]) == ("failed", "5.1.1")
    assert bob["Remote-MTA"] == "dns; mx.example.net[192.0.2.1]:25"
    assert bob["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user ?"
    assert bob["Last-Attempt-Date"] == "Mon, 1 Jun 2026 12:00:00 +0000"
    assert joerg["Final-Recipient"] == r"utf-8; j\x{F6}rg@example.net"  # RFC 6533 section 3
    assert joerg["Status"] == "5.0.0"


@pytest.mark.parametrize(
    ("original", "protected"),
    [
        (message(b"secret\r\n"), True),
        (message(b"secret\r\n", ret="HDRS"), False),
        (message(b"secret\r\n", ret=None), False),
        (message(b"secret\r\n" * dsn.MAXIMUM_RETURNED), False),
    ],
)
def test_only_the_header_comes_back(original: Message, protected: bool) -> None:
    """What was to be encrypted travels back in clear text."""
    report = failure(original, protected=protected)
    returned = list(report.iter_parts())[2]
    assert returned.get_content_type() == "text/rfc822-headers"
    assert b"secret" not in report.as_bytes()
    assert b"Message-ID: <1@x>" in report.as_bytes()


def test_a_delay_says_until_when() -> None:
    """An author sends the same mail five times because nobody says it is still tried."""
    header, body = dsn.report(
        dsn.DELAYED, message(), (NO_USER,), hostname="gate.example.org", names=names(), now=NOW, protected=True, until=NOW,
    )  # fmt: skip
    parsed = email.message_from_bytes(header + b"\r\n" + body, policy=email.policy.default)
    recipient = list(parsed.walk())[4]
    assert parsed["Subject"] == "Delayed: Grüße"
    assert recipient["Action"] == "delayed"
    assert recipient["Status"] == "4.0.0"  # never a 5 for a message that is still tried
    assert recipient["Will-Retry-Until"] == "Mon, 1 Jun 2026 12:00:00 +0000"


@pytest.mark.parametrize(
    ("kind", "action"), [(dsn.DELIVERED, "delivered"), (dsn.RELAYED, "relayed")]
)
def test_a_success_returns_headers_only(kind: dsn.Kind, action: str) -> None:
    """RFC 3461 section 4.3: RET=FULL is for failures; the whole mail comes back for nothing."""
    taken = Attempt(BOB, Reply(250, "2.6.0", "queued"), "mx.example.net[192.0.2.1]:25")
    header, body = dsn.report(
        kind, message(), (taken,), hostname="gate.example.org", names=names(), now=NOW, protected=False,
    )  # fmt: skip
    parsed = email.message_from_bytes(header + b"\r\n" + body, policy=email.policy.default)
    recipient = list(parsed.walk())[4]
    assert (recipient["Action"], recipient["Status"]) == (action, "2.6.0")
    assert recipient["Will-Retry-Until"] is None
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert list(parsed.walk())[-1].get_content_type() == "text/rfc822-headers"
    assert b"hello" not in body


def test_no_report_about_a_report() -> None:
    """Two servers send each other notifications for ever (RFC 5321 section 6.1)."""
    with pytest.raises(Malformed):
        failure(message(sender=""))


def test_the_boundary_stands_in_no_original() -> None:
    """An original made of boundaries forges parts of our report."""
    report = failure(message(b"--=_name0--\r\n--=_name1\r\n"))
    assert len(list(report.iter_parts())) == 3


@pytest.mark.parametrize(
    ("notify", "event", "expected"),
    [
        (None, "FAILURE", True),
        (None, "DELAY", True),
        (None, "SUCCESS", False),
        ("NEVER", "FAILURE", False),
        ("success,failure", "FAILURE", True),
        ("SUCCESS", "FAILURE", False),
    ],
)
def test_wanted(notify: str | None, event: str, expected: bool) -> None:
    """NOTIFY=NEVER is answered with a notification, or a failure with silence."""
    assert dsn.wanted(Recipient(BOB.mailbox, notify=notify), event) is expected


def test_xtext() -> None:
    """An ORCPT adds a line to the status part."""
    assert dsn.xtext("a+2Bb+3D+0D+0AX: y") == "a+b=?X: y"
