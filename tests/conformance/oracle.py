"""Generated chains, judged here, by pyhanko-certvalidator and by `openssl verify`.

`--write` renews the table in docs/conformance.md.  Every class of disagreement stands in
`CLASSES` with its reason; anything else is a failure, and so is a class nothing shows.
"""

# ruff: noqa: T201  printing is what this is for; a seed makes the chains the same each time

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from asn1crypto import x509 as asn1  # type: ignore[import-untyped]  # it has no types
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import (
    PathBuildingError,
    PathValidationError,
    ValidationError,
)
from pyhanko_certvalidator.policy_decl import PKIXValidationParams
from tests.conformance.entry import ROOT as TREE
from tests.unit.pki.forge import MAIL, NOW, authority, forge

from gatepost.certificate import Certificate
from gatepost.pki.policy import ANY, PolicyRules
from gatepost.pki.validate import Anchors, validate

PAGE = TREE / "docs" / "conformance.md"
BEGIN, END = "<!-- oracles: begin -->\n", "<!-- oracles: end -->\n"
CHAINS = 400
KINDS = ("p256", "rsa2048", "ed25519")
ONE, OTHER = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), x509.ObjectIdentifier("1.3.6.1.5.5.7.99")
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
ANY_USE = (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)


@dataclass(frozen=True)
class Case:
    """One leaf, what came with it, and what was bent."""

    number: int
    leaf: Certificate
    above: tuple[Certificate, ...]
    bent: frozenset[str]
    explicit: bool = False
    verdicts: dict[str, str] = field(default_factory=dict, compare=False)  # who: objection


@dataclass(frozen=True)
class Class:
    """A disagreement that is known: who differs from us, when, and why we stay as we are."""

    who: str
    accepts: bool  # whether the other one accepts what we refuse, or the other way round
    bent: str
    reason: str


_ANY_USE_COUNTS = (
    "anyExtendedKeyUsage is taken for mail, as RFC 8550 section 4.4.4 says; the other one wants "
    "emailProtection by name"
)
CLASSES = (
    Class(
        "pyhanko",
        accepts=True,
        bent="authority for servers only",
        reason=(
            "an authority's extended key usage limits what stands below it here, as in OpenSSL "
            "(RFC 8550 section 4.4.4); RFC 5280 section 6.1 by itself does not ask it"
        ),
    ),
    Class("openssl", accepts=False, bent="for any use", reason=_ANY_USE_COUNTS),
    Class("pyhanko", accepts=False, bent="for any use", reason=_ANY_USE_COUNTS),
    Class("openssl", accepts=False, bent="authority for any use", reason=_ANY_USE_COUNTS),
)


# The chains


def _named(permitted: Sequence[str], excluded: Sequence[str] = ()) -> dict[str, Any]:
    trees = [[x509.RFC822Name(one) for one in some] or None for some in (permitted, excluded)]
    return {"constraints": x509.NameConstraints(*trees)}


def _policy(*names: x509.ObjectIdentifier) -> tuple[x509.ExtensionType, bool]:
    return x509.CertificatePolicies([x509.PolicyInformation(one, None) for one in names]), False


_ANY_POLICY = x509.ObjectIdentifier(ANY)
AUTHORITY: dict[str, dict[str, Any]] = {
    "expired authority": {"days": (-9, -1)},
    "authority of the future": {"days": (1, 9)},
    "no authority": {"ca": False, "usages": None},
    "authority without basic constraints": {"ca": None, "usages": None},
    "authority that may not sign": {"usages": ("crl_sign",)},
    "wrong key": {"key_name": "Mallory"},
    "length 0": {"path_length": 0},
    "length 1": {"path_length": 1},
    "permitted": _named(["example.com"]),
    "permitted below": _named([".example.com"]),
    "permitted mailbox": _named(["a@example.com"]),
    "permitted elsewhere": _named(["example.org"]),
    "permitted twice": _named(["example.org", "example.com"]),
    "excluded": _named([], ["example.com"]),
    "excluded below": _named([], [".example.com"]),
    "excluded mailbox": _named([], ["a@example.com"]),
    "excluded elsewhere": _named([], ["example.org"]),
    "permitted and excluded": _named(["example.com"], ["b@example.com"]),
    "authority for mail": {"purposes": MAIL},
    "authority for any use": {"purposes": ANY_USE},
    "authority for servers only": {"purposes": SERVER},
    "unknown critical": {"extra": ((x509.UnrecognizedExtension(OTHER, b"\x05\x00"), True),)},
    "unknown": {"extra": ((x509.UnrecognizedExtension(OTHER, b"\x05\x00"), False),)},
}
LEAF: dict[str, dict[str, Any]] = {
    "expired": {"days": (-9, -1)},
    "of the future": {"days": (1, 9)},
    "for servers": {"purposes": SERVER},
    "for any use": {"purposes": ANY_USE},
    "for nothing said": {"purposes": None},
    "in a sub-domain": {"emails": ["a@mail.example.com"]},
    "in upper case": {"emails": ["a@EXAMPLE.com"]},
    "of two": {"emails": ["a@example.com", "b@example.com"]},
    "address in the subject": {"emails": None, "subject_email": "a@example.com"},
    "leaf unknown critical": {"extra": ((x509.UnrecognizedExtension(OTHER, b"\x05\x00"), True),)},
    "leaf of a stranger": {"by_name": "Stranger"},
}


@cache
def root(kind: str) -> Certificate:
    """The anchor of all chains whose first authority was signed with such a key."""
    return authority(f"Oracle {kind}", kind=kind)


@cache
def cases(count: int = CHAINS) -> tuple[Case, ...]:
    """The same chains at every call, but for keys and serial numbers."""
    return tuple(_case(number, random.Random(number)) for number in range(count))


def _case(number: int, dice: random.Random) -> Case:
    kind = dice.choice(KINDS)
    above, issuer, by = [], f"Oracle {kind}", kind
    bent: set[str] = set()
    explicit = dice.random() < 0.25
    depth = dice.randrange(5)
    bad = dice.randrange(depth) if depth and dice.random() < 0.65 else -1
    for step in range(depth):
        what = dice.choice(sorted(AUTHORITY)) if step == bad else ""
        changes = dict(AUTHORITY.get(what, {}))
        _rule(changes, explicit, dice, bent)
        _pad(changes, by, dice, bent)
        own, name = dice.choice(KINDS), f"CA {step}"  # keys are made once for each name and kind
        above.append(authority(name, issuer, kind=own, by=by, **changes))
        bent |= {what} - {""}
        issuer, by = name, own
    what = dice.choice(sorted(LEAF)) if dice.random() < 0.45 else ""
    changes = dict(LEAF.get(what, {}))
    if changes.pop("by_name", ""):
        issuer = f"{issuer} of another"
    _rule(changes, explicit, dice, bent)
    _pad(changes, by, dice, bent)
    leaf = forge("leaf", issuer, kind=dice.choice(KINDS), by=by, **changes)
    dice.shuffle(above)
    return Case(number, leaf, tuple(above), frozenset(bent | {what} - {""}), explicit)


def _rule(changes: dict[str, Any], explicit: bool, dice: random.Random, bent: set[str]) -> None:
    """A certificate policy, mostly the one asked for."""
    if not explicit:
        return
    said = dice.choices(((ONE,), (_ANY_POLICY,), (ONE, OTHER), (OTHER,), ()), (6, 4, 3, 1, 1))[0]
    if said:
        changes["extra"] = (*changes.get("extra", ()), _policy(*said))
    bent.add("policies")


def _pad(changes: dict[str, Any], by: str, dice: random.Random, bent: set[str]) -> None:
    if by == "rsa2048" and dice.random() < 0.5:
        changes["pss"] = True
        bent.add("PSS")


# The judges


def judge(folder: Path, count: int = CHAINS) -> tuple[Case, ...]:
    """What the three say of every chain."""
    for kind in KINDS:
        (folder / kind).write_text(root(kind).pem)
    (folder / "roots").write_text("".join(root(kind).pem for kind in KINDS))
    for case in cases(count):
        case.verdicts["ours"] = _ours(case)
        case.verdicts["openssl"] = _openssl(folder, case)
    asyncio.run(_ask_pyhanko(cases(count)))
    return cases(count)


def _ours(case: Case) -> str:
    anchors = Anchors(frozenset(map(root, KINDS)))
    rules = PolicyRules(frozenset({ONE.dotted_string}), explicit=True)
    said = validate(
        case.leaf,
        case.above,
        anchors,
        moment=NOW,
        rules=rules if case.explicit else PolicyRules(),
    )
    return "" if said.trusted else "; ".join(said.reasons)


def _openssl(folder: Path, case: Case) -> str:
    (folder / "leaf").write_text(case.leaf.pem)
    (folder / "above").write_text("".join(one.pem for one in case.above))
    command = ["openssl", "verify", "-purpose", "smimesign", "-attime", str(int(NOW.timestamp()))]
    command += ["-CAfile", "roots", *(("-untrusted", "above") if case.above else ())]
    if case.explicit:
        command += ["-explicit_policy", "-policy", ONE.dotted_string]
    done = subprocess.run(
        [*command, "leaf"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return "" if done.returncode == 0 else done.stderr or "refused"


async def _ask_pyhanko(some: Iterable[Case]) -> None:
    for case in some:
        case.verdicts["pyhanko"] = await _pyhanko(case)


async def _pyhanko(case: Case) -> str:
    context = ValidationContext(
        trust_roots=[asn1.Certificate.load(root(kind).der) for kind in KINDS],
        moment=NOW,
        allow_fetching=False,
    )
    params = PKIXValidationParams(
        user_initial_policy_set=frozenset({ONE.dotted_string}), initial_explicit_policy=True
    )
    validator = CertificateValidator(
        asn1.Certificate.load(case.leaf.der),
        [asn1.Certificate.load(one.der) for one in case.above],
        context,
        params if case.explicit else None,
    )
    try:
        await validator.async_validate_usage(  # type: ignore[no-untyped-call]  # of theirs
            set(), {"email_protection"}, extended_optional=True
        )
    except (PathBuildingError, PathValidationError, ValidationError) as error:
        return str(error) or "refused"
    return ""


# The comparison


def known(case: Case, who: str) -> Class | None:
    """The class of the disagreement between us and another one."""
    accepts = not case.verdicts[who]
    return next(
        (
            one
            for one in CLASSES
            if (one.who, one.accepts) == (who, accepts) and one.bent in case.bent
        ),
        None,
    )


def compare(some: Iterable[Case]) -> tuple[Counter[Class], list[str]]:
    """How often each known class appears, and everything else."""
    found: Counter[Class] = Counter()
    others = []
    for case in some:
        for who in ("openssl", "pyhanko"):
            if bool(case.verdicts[who]) is bool(case.verdicts["ours"]):
                continue
            if one := known(case, who):
                found[one] += 1
            else:
                others.append(f"{case.number} {sorted(case.bent)} {who}: {case.verdicts}")
    return found, others


def section(some: Sequence[Case], found: Counter[Class]) -> str:
    """The part of the page."""
    held = sum(not case.verdicts["ours"] for case in some)
    lines = [
        (
            f"{len(some)} chains, {held} of which hold, {len(some) - held} do not: up to four "
            "authorities, RSA (PKCS #1 and PSS), P-256 and Ed25519 mixed, and "
            f"{len(AUTHORITY) + len(LEAF)} ways to bend an authority or the leaf."
        ),
        "",
        "| disagreements with | chains | the other one | where | reason |",
        "| --- | --: | --- | --- | --- |",
    ]
    for one in CLASSES:
        does = "accepts" if one.accepts else "refuses"
        lines.append(f"| {one.who} | {found[one]} | {does} | {one.bent} | {one.reason} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Judge, print, and with --write renew the page."""
    with tempfile.TemporaryDirectory() as folder:
        some = judge(Path(folder))
    found, others = compare(some)
    print(section(some, found), *others, sep="\n")
    if "--write" in sys.argv:
        page = PAGE.read_text()
        before, after = page.partition(BEGIN)[0], page.partition(END)[2]
        PAGE.write_text(before + BEGIN + section(some, found) + END + after)
    return 1 if others else 0


if __name__ == "__main__":
    sys.exit(main())
