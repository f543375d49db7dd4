"""Reading MTA-STS records and policies (RFC 8461)."""

from datetime import timedelta

import pytest
from tests.unit.route.people import NOW

from gatepost.errors import Malformed
from gatepost.route.sts import MAXIMUM_AGE, StsPolicy, identifier, parse

TEXT = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.Backup.example.net\nmax_age: 604800\n"


@pytest.mark.parametrize(
    ("records", "id_"),
    [
        (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        (["v=STSv1;id=1"], "1"),
        (["v=spf1 -all", "v=STSv1; future=x; id=a1"], "a1"),
        ([], None),
        (["v=STSv1; id=1;", "v=STSv1; id=2;"], None),  # section 3.1: more than one is none
        (["v=STSv1; id=not-alnum;"], None),
        (["v=STSv1; id=" + "a" * 33], None),
        (["v=STSv1"], None),
        (["v=STSv2; id=1;"], None),
    ],
)
def test_identifier(records: list[str], id_: str | None) -> None:
    """A policy is not found, or a stranger's text is taken for one."""
    assert identifier(records) == id_


@pytest.mark.parametrize(
    "text", [TEXT, TEXT.replace("\n", "\r\n"), TEXT + "future: x\n", TEXT.rstrip()]
)
def test_parse(text: str) -> None:
    """A policy written a little differently does not protect."""
    found = parse(text, "1", NOW)
    assert found == StsPolicy(
        "1", "enforce", ("mail.example.com", "*.backup.example.net"), timedelta(days=7), NOW
    )


@pytest.mark.parametrize(
    "wrong",
    [
        TEXT.replace("STSv1", "STSv2"),
        TEXT.replace("enforce", "Enforce"),
        TEXT.replace("604800", "-1"),
        TEXT.replace("604800", "9" * 11),
        TEXT.replace("max_age: 604800", ""),
        "version: STSv1\nmode: enforce\nmax_age: 1\n",
        TEXT.replace("mail.example.com", "mail.*.com"),
        TEXT + "mx: x.example\n" * 300,
        "",
        "<html>Not found</html>",
    ],
)
def test_malformed(wrong: str) -> None:
    """Half a policy is enforced, or stored."""
    with pytest.raises(Malformed):
        parse(wrong, "1", NOW)


def test_no_policy_needs_no_hosts() -> None:
    """A domain that takes its policy back is not believed."""
    assert (
        parse("version: STSv1\nmode: none\nmax_age: 99999999\n", "1", NOW).maximum_age
        == MAXIMUM_AGE
    )


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("mail.example.com", True),
        ("MAIL.example.com.", True),
        ("a.backup.example.net", True),
        ("b.a.backup.example.net", False),
        ("backup.example.net", False),
        ("mail.example.com.evil.test", False),
        ("evil.test", False),
    ],
)
def test_allows(host: str, allowed: bool) -> None:
    """A host an attacker put into the DNS gets the mail."""
    assert parse(TEXT, "1", NOW).allows(host) is allowed


def test_ages() -> None:
    """A policy is forgotten while it counts, or kept for ever."""
    found = parse(TEXT, "1", NOW)
    assert found.is_live(NOW + timedelta(days=7, seconds=-1))
    assert not found.is_live(NOW + timedelta(days=7))
    assert not found.is_stale(NOW + timedelta(hours=23))
    assert found.is_stale(NOW + timedelta(days=1))
