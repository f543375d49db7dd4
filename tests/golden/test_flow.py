"""Golden cases of the flow: one folder each with message, facts, expectation and reason.

`message.eml` is what its author wrote; `facts.toml` says who is known, under which policy,
and, for arriving mail, how the sender's own gateway had protected it; `expected.toml`
says what becomes of it.  Keys differ from run to run, so fingerprints are not compared.
Put a private case into `tests/golden/private/` to run it here without committing it.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.world import (
    ANCHORS,
    World,
    announcing,
    arriving,
    choice,
    facts,
    octets,
    outgoing,
    recipients,
)

from gatepost.flow import inbound, outbound
from gatepost.flow.decision import decisions
from gatepost.flow.explain import render
from gatepost.flow.verdict import Defer, Hold, Outcome, Reject, Wait
from gatepost.mail.message import Message
from gatepost.mime import headers

HERE = Path(__file__).parent
CASES = sorted(
    path.parent for area in ("flow", "private") for path in (HERE / area).glob("*/message.eml")
)
FINGERPRINT = re.compile(r"[0-9A-F]{8}…")


def world_of(given: Mapping[str, Any]) -> World:
    """The world a table of facts describes."""
    readers = {
        address: choice(address, rejected=one.get("rejected", ""))
        for address, one in given.get("reader", {}).items()
    }
    known = facts(
        readers=readers,
        correspondents={
            address: announcing(*one["reads"])
            for address, one in given.get("reader", {}).items()
            if "reads" in one
        },
        signers=given.get("signers", ()),
        openers=given.get("openers", ()),
        anchors=dict.fromkeys(given.get("trusted", ()), ANCHORS),
    )
    return World.under(
        given.get("policy", ""),
        known,
        domains=frozenset({given["domain"]}),
        hostname=f"gate.{given['domain']}",
    )


def sent(content: bytes, given: Mapping[str, Any]) -> Message:
    """What arrives: the message as the sender's gateway lets it out, or as it was written."""
    if "sent" not in given:
        return arriving_as_written(content, given)
    out = world_of(given["sent"]).drive(
        outgoing(content, *given["sent"]["reader"], sender=given["sender"] or None),
        outbound.STAGES,
    )
    return arriving(out[0], *given["recipients"])


def arriving_as_written(content: bytes, given: Mapping[str, Any]) -> Message:
    """A message nobody protected."""
    return outgoing(content, *given["recipients"], sender=given["sender"] or None)


def result(outcome: Outcome) -> dict[str, object]:
    """What is compared."""
    verdict = outcome.verdict
    subject = headers.first(outcome.message.header, "Subject")
    shown: dict[str, object] = {
        "recipients": list(recipients(outcome)),
        "verdict": type(verdict).__name__.lower(),
        "subject": subject.text.strip() if subject else "",
        "content_type": headers.content_type(outcome.message.header).essence,
        "readable": b"MARKER" in octets(outcome),
        "explain": [
            FINGERPRINT.sub("--------…", line).rstrip()
            for one in decisions(outcome.message.findings)
            for line in render(one).splitlines()
        ],
    }
    if results := headers.every(outcome.message.header, "Authentication-Results"):
        shown["results"] = [re.sub(r"serial=[0-9A-F]+", "serial=--", one.text) for one in results]
    if isinstance(verdict, Reject | Defer | Wait):
        shown["reply"] = str(verdict.reply)
    if isinstance(verdict, Hold):
        shown["reason"] = verdict.reason
    return shown


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case: Path) -> None:
    """A mail is treated otherwise than was once decided and written down; see its readme."""
    content = (case / "message.eml").read_bytes()
    given = tomllib.loads((case / "facts.toml").read_text())
    expected = tomllib.loads((case / "expected.toml").read_text())["outcome"]
    stages = inbound.STAGES if given["direction"] == "inbound" else outbound.STAGES
    message = sent(content, given)
    assert [result(one) for one in world_of(given).drive(message, stages)] == expected
    assert (case / "readme.md").read_text().strip()
