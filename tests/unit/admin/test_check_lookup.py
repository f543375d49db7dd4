"""`gatepost check` of directories and of the folder: found out before the first mail does."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.peers.postfix import free_port
from tests.peers.slapd import BASE, Slapd

from gatepost.admin.check.lookup import directories_answer, folder_can_be_used
from gatepost.admin.check.registry import Answer, Installation, Status
from gatepost.config.ldap import Ldap
from gatepost.config.load import parse
from gatepost.config.lookup import Lookup
from gatepost.config.settings import Settings

TEXT = """[gateway]
hostname = "gate.example.com"
domains = ["example.com"]
[vault]
key_file = "key"
[next_hop]
inbound = "127.0.0.1:10025"
[[listener]]
bind = "127.0.0.1:0"
direction = "inbound"
"""


def asked(test: Any, **tables: Any) -> list[Answer]:
    settings: Settings = replace(parse(TEXT), **tables)
    return list(test(Installation(None, settings, "", datetime.now(UTC))))


def ldap(port: int, base: str = BASE) -> Ldap:
    return Ldap(url=f"ldap://127.0.0.1:{port}", base=base, starttls=False)


@pytest.mark.peer("slapd")
def test_directories(tmp_path: Path) -> None:
    """A wrong base would find nobody, and only the refused mail would tell."""
    with Slapd(tmp_path / "slapd", []) as server:
        right, wrong = ldap(server.port), ldap(server.port, "dc=wrong")
        found = asked(directories_answer, ldap=(right, wrong, ldap(free_port())))
    assert [one.status for one in found] == [Status.PASS, Status.FAIL, Status.FAIL]
    assert "nothing under 'dc=wrong'" in found[1].detail
    assert "Connection refused" in found[2].detail
    assert [one.status for one in asked(directories_answer)] == [Status.SKIP]


def test_folder(tmp_path: Path) -> None:
    """Files would lie there, and nobody know why."""
    for folder, status in (
        (None, Status.SKIP),
        (tmp_path, Status.PASS),
        (tmp_path / "x", Status.FAIL),
    ):
        (found,) = asked(folder_can_be_used, lookup=Lookup(folder=folder))
        assert found.status is status
