"""Which TLS policy holds for a host, and that nothing lowers it."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.route.people import NOW

from gatepost.mail.delivery import Tlsa, TlsPolicy
from gatepost.mail.reply import Reply
from gatepost.route.security import Demand, Host, Security, secured
from gatepost.route.sts import Mode, StsPolicy

GOOD, USELESS = Tlsa(3, 1, 1, bytes(32)), Tlsa(1, 1, 1, bytes(32))


def sts(mode: Mode, *patterns: str) -> StsPolicy:
    return StsPolicy("7", mode, patterns or ("*.p.example",), timedelta(days=1), NOW)


def host(policy: StsPolicy | None = None, *tlsa: Tlsa, authentic: bool = False) -> Host:
    return Host("p.example", "mx.p.example", "", authentic, tlsa, policy)


PLAIN, SIGNED, ENFORCED, TESTED = (
    host(),
    host(authentic=True),
    host(sts("enforce")),
    host(sts("testing")),
)
DANE = host(None, GOOD, authentic=True)
BOTH = host(sts("enforce", "elsewhere.example"), GOOD, authentic=True)
UNUSABLE = host(None, USELESS, authentic=True)
UNPROVEN = host(None, GOOD)  # the MX record may be forged
WRONG = host(sts("enforce", "elsewhere.example"))


@pytest.mark.parametrize(
    ("level", "where", "expected"),
    [
        ("none", DANE, "none"),
        ("opportunistic", PLAIN, "opportunistic"),
        ("opportunistic", DANE, "dane"),
        ("opportunistic", BOTH, "dane"),  # RFC 8461 section 2: DANE has precedence
        ("opportunistic", UNUSABLE, "required"),
        ("opportunistic", UNPROVEN, "opportunistic"),
        ("opportunistic", ENFORCED, "verified mx.p.example"),
        ("opportunistic", TESTED, "opportunistic"),
        ("opportunistic", WRONG, "4.7.10"),
        ("required", PLAIN, "required"),
        ("required", DANE, "dane"),
        ("verified", PLAIN, "verified p.example .p.example"),
        ("verified", SIGNED, "verified mx.p.example"),
        ("verified", TESTED, "verified p.example .p.example"),
        ("verified", UNUSABLE, "4.7.10"),
        ("dane", PLAIN, "4.7.10"),
        ("dane", ENFORCED, "4.7.10"),
        ("dane", UNUSABLE, "4.7.10"),
        ("dane", UNPROVEN, "4.7.10"),
        ("dane", DANE, "dane"),
        ("mta-sts", PLAIN, "4.7.10"),
        ("mta-sts", TESTED, "4.7.10"),
        ("mta-sts", ENFORCED, "verified mx.p.example"),
        ("mta-sts", DANE, "dane"),
    ],
)
def test_policies(level: TlsPolicy, where: Host, expected: str) -> None:
    """A published promise is not held, or nobody can be written to."""
    found = secured(Demand(level), where)
    if isinstance(found, Reply):
        assert found.status == expected
    elif found.tls == "verified":
        assert " ".join(("verified", *found.names)) == expected
    else:
        assert found.tls == expected


def test_a_configured_name_counts() -> None:
    """`tls_name` is written and not looked at."""
    found = secured(Demand("verified", name="mail.p.example"), PLAIN)
    assert isinstance(found, Security)
    assert found.names == ("mail.p.example",)


@given(
    st.sampled_from(["none", "opportunistic", "required", "verified", "dane", "mta-sts"]),
    st.sampled_from([PLAIN, SIGNED, ENFORCED, TESTED, DANE, BOTH, UNUSABLE, UNPROVEN, WRONG]),
)
def test_mail_that_needs_it_is_never_unproven(level: TlsPolicy, where: Host) -> None:
    """Mail that may leave in clear over a verified connection only takes another one."""
    found = secured(Demand(level, secure=True), where)
    assert isinstance(found, Reply) or (found.tls in {"dane", "verified"} and found.names)
    if isinstance(found, Reply):
        assert found.is_transient
