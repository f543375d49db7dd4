"""The judge itself: what must never happen is seen, and cannot be explained away."""

from __future__ import annotations

import pytest
from tests.conformance.entry import Entry
from tests.conformance.expectation import complaints
from tests.conformance.report import Result, rows
from tests.conformance.seen import Seen

from gatepost.smime.report import EncryptionReport, SignatureReport, SignerReport, Verdict


def entry(kind: str, expected: str, basis: str = "source-test") -> Entry:
    """A line of the corpus that is in nobody's."""
    row = {"id": "none/one", "kind": kind, "expected": expected, "label_basis": basis}
    return Entry(row)


@pytest.mark.parametrize(
    "seen",
    [Seen(surprise="IndexError"), Seen(seconds=1.1), Seen(changed="the relayed body differs")],
    ids=["crash", "hang", "change"],
)
@pytest.mark.parametrize("basis", ["source-test", "inferred"])
def test_harm_is_never_an_exception(seen: Seen, basis: str) -> None:
    """A list of known differences hides the day on which one of them becomes a crash."""
    about = entry("mime", "parses", basis)
    found = tuple(complaints(about, seen))

    assert found
    assert Result(about, seen, found, "known and harmless").is_unexpected


@pytest.mark.parametrize("label", ["not-valid-for-manager", "sender-mismatch", "invalid"])
@pytest.mark.parametrize("verdict", [Verdict.VALID, Verdict.VALID_UNTRUSTED])
def test_an_accepted_attack_is_seen(label: str, verdict: Verdict) -> None:
    """The table says 0 because nobody looked."""
    signer = SignerReport(intact=True, valid=True, trusted=True, matches=True)
    seen = Seen(signatures=(SignatureReport("signed-data", verdict, (signer,)),))
    about = entry("attack", label, "paper")
    found = tuple(complaints(about, seen))

    assert found
    assert rows([Result(about, seen, found)])[-1].counts["accepted"] == 1


def test_an_opened_part_and_a_second_mail_are_seen() -> None:
    """The same for EFAIL and SMTP smuggling."""
    opened = EncryptionReport("enveloped-data", "aes128-cbc", authenticated=False)
    for label, seen in (
        ("isolate-decrypted-part", Seen(encryptions=(opened,))),
        ("one-message-or-reject", Seen(senders=2)),
        ("one-message-or-reject", Seen(senders=1, bodies=(b"a\nb",))),
        ("unsigned-unencrypted", Seen(encryptions=(opened,))),
    ):
        assert list(complaints(entry("attack", label, "paper"), seen)), label
