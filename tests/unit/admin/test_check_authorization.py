"""`gatepost check` of CAA records: a warning before an authority refuses, and no more than that."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.patience import PATIENCE
from tests.unit.admin.test_check_lookup import TEXT
from tests.unit.lookup.zone import SERVFAIL, NameServer, serving_aside

from gatepost.admin.check import authorization
from gatepost.admin.check.authorization import domains_let_them
from gatepost.admin.check.registry import Answer, Installation, Status, Unready
from gatepost.config.certificate_source import CertificateSource
from gatepost.config.identity import Identity
from gatepost.config.load import parse
from gatepost.config.settings import Settings
from gatepost.errors import Unavailable

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KNOWN = CertificateSource("known", "vendor", caa="ca.example")
OTHER = CertificateSource("other", "vendor")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    monkeypatch.setattr(authorization, "_QUICK", timedelta(seconds=PATIENCE))
    with serving_aside({"example.com CAA": ['0 issuemail "ca.example"']}) as server:
        yield server


def settings(names: NameServer, *sources: CertificateSource) -> Settings:
    text = f'{TEXT}[resolver]\nservers = ["127.0.0.1:{names.port}"]\n'
    return replace(parse(text), certificate_source=sources)


def asked(found: Settings) -> list[Answer]:
    return list(domains_let_them(Installation(None, found, "", NOW)))


def test_let(names: NameServer) -> None:
    """A company whose records are right is warned for ever."""
    [one] = asked(settings(names, KNOWN))
    assert (one.status, one.detail) == (
        Status.PASS,
        "example.com lets known issue for mail",
    )
    names.table = {}
    [one] = asked(settings(names, KNOWN))
    assert one.detail == "example.com lets every authority issue for mail"
    assert asked(settings(names))[0].status is Status.SKIP


def test_not_let(names: NameServer) -> None:
    """Nobody knows why the authority refuses, or what to write into the DNS."""
    stranger = replace(KNOWN, caa="b.example")
    [one] = asked(settings(names, stranger))
    assert one.status is Status.WARN
    assert one.detail == "example.com lets ca.example issue for mail, not b.example, which is known"
    assert one.fix == 'publish a CAA record: example.com CAA 0 issuemail "b.example"'
    names.table = {"com CAA": ['0 issuemail ";"']}
    [one] = asked(settings(names, stranger))
    assert one.detail.startswith("example.com (com) lets nobody issue for mail")
    names.table = {"example.com CAA": ['128 strange "x"']}
    [one] = asked(settings(names, KNOWN))
    assert one.status is Status.WARN
    assert "critical CAA property that few authorities understand: strange" in one.detail


class Told:
    """A source that knows its name, or cannot be asked."""

    name = "other"

    async def identities(self, now: datetime) -> tuple[str, ...]:
        assert now == NOW
        return ("Other.example", "ca.example")


class Away(Told):
    async def identities(self, now: datetime) -> tuple[str, ...]:
        raise Unavailable(f"closed at {now}")


def test_as_it_says_itself(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who uses ACME has to find out under which name his authority goes."""
    source: list[tuple[str, object]] = [("known", Away()), ("other", Told())]
    monkeypatch.setattr(authorization, "made", lambda _place: iter(source))
    first, second = asked(settings(names, KNOWN, OTHER))
    assert (first.status, second.status) == (Status.PASS, Status.PASS)
    source[1] = ("other", Away())
    [one] = asked(settings(names, OTHER))
    assert one.status is Status.SKIP
    assert "under which name other goes is not known" in one.detail


def test_of_which_domains(names: NameServer) -> None:
    """A domain whose people get theirs elsewhere is warned about."""
    names.table = {}
    two = replace(settings(names, KNOWN, OTHER), identity=())
    two = replace(two, gateway=replace(two.gateway, domains=("a.example", "b.example")))
    named = Identity(addresses=("x@A.example",), source="known")
    pattern = Identity(patterns=("*@b.example",), source="known")
    for rules, found in (
        ((), {"a.example", "b.example"}),
        ((named,), {"a.example"}),
        ((named, pattern), {"a.example", "b.example"}),
        ((replace(pattern, patterns=("x@*",)),), {"a.example", "b.example"}),
        ((Identity(source="known", group="cn=x"),), {"a.example", "b.example"}),
        ((Identity(source="known"),), {"a.example", "b.example"}),
    ):
        told = asked(replace(two, certificate_source=(KNOWN,), identity=rules))
        assert {one.detail.partition(" ")[0] for one in told} == found


def test_without_the_dns(names: NameServer) -> None:
    """A name server that fails is told as what the records say."""
    names.table = {"example.com CAA": SERVFAIL}
    with pytest.raises(Unready, match="the DNS does not answer"):
        asked(settings(names, KNOWN))
