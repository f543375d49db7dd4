"""Reports: nothing is simply true, and everything can be shown."""

import itertools
import json

import pytest
from tests.unit.smime.letters import decrypt, encrypt, sign, verify

from gatepost.smime import report
from gatepost.smime.report import ErrantReport, SignatureReport, SignerReport, Verdict, judge


def signer(
    *,
    intact: bool = True,
    valid: bool = True,
    trusted: bool = True,
    matches: bool = True,
    supported: bool = True,
) -> SignerReport:
    """A signer with these answers."""
    return SignerReport(intact, valid, trusted, matches, supported)


GOOD = signer()
STRANGER = signer(matches=False)
BROKEN = signer(intact=False, valid=False, trusted=False, matches=False)
UNKNOWN = signer(intact=False, valid=False, trusted=False, matches=False, supported=False)


@pytest.mark.parametrize(
    ("signers", "verdict"),
    [
        ((), Verdict.UNSIGNED),
        ((GOOD,), Verdict.VALID),
        ((signer(trusted=False),), Verdict.VALID_UNTRUSTED),
        ((STRANGER,), Verdict.MISMATCH),
        ((signer(matches=False, trusted=False),), Verdict.MISMATCH),
        ((signer(valid=False),), Verdict.INVALID),
        ((signer(valid=False, matches=False),), Verdict.INVALID),
        ((BROKEN,), Verdict.INVALID),
        ((UNKNOWN,), Verdict.UNSUPPORTED),
        ((GOOD, STRANGER), Verdict.VALID),
        ((GOOD, UNKNOWN), Verdict.VALID),
        ((STRANGER, UNKNOWN), Verdict.MISMATCH),
        ((GOOD, BROKEN), Verdict.INVALID),
    ],
)
def test_the_verdict_on_several_signers(
    signers: tuple[SignerReport, ...], verdict: Verdict
) -> None:
    """One word for Bob, whoever signed beside Alice and in whichever order."""
    for order in itertools.permutations(signers):
        assert judge(order) is verdict


def test_reports_are_not_booleans() -> None:
    """`if report:` would call every signature good."""
    for one in (GOOD, SignatureReport("signed-data", Verdict.INVALID), ErrantReport("x", (1,))):
        with pytest.raises(TypeError):
            bool(one)


def test_the_tree_is_json() -> None:
    """The picture on the demo page and `--json` read exactly this."""
    opened = decrypt(*encrypt(*sign()))
    verified = verify(opened.header, opened.body)
    tree = report.tree(["another finding", opened.report, verified.report])

    assert [one["layer"] for one in tree] == ["authenveloped-data", "multipart-signed"]
    assert [one["depth"] for one in tree] == [0, 1]
    assert json.loads(json.dumps(tree)) == tree
    assert tree[1]["verdict"] == "valid"


def test_reports_print_no_secrets() -> None:
    """A report lands in logs; the subject inside an envelope must not."""
    opened = decrypt(*encrypt())

    assert "Offer" not in repr(opened.report)
    assert "ten thousand" not in repr(opened)
