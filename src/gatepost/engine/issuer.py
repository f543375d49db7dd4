"""Makes what `[[certificate_source]]` names: the built-in kinds, and those that plug-ins bring.

A plug-in announces itself by an entry point of the group `gatepost.certificate_sources` whose
name is the kind: docs/reference/certificate-sources.md.  A built-in kind is a function here
that imports its module only when it is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from gatepost.config import Settings
from gatepost.config.certificate_source import CertificateSource as SourceSettings
from gatepost.engine.journal import Journal, reason_of
from gatepost.engine.secret import password
from gatepost.enrol.source import CertificateSource
from gatepost.errors import ConfigError, GatepostError
from gatepost.events import Name
from gatepost.store.directory import Directory
from gatepost.vault.keys import Vault

GROUP: Final = "gatepost.certificate_sources"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a built-in source may need of the process it works in."""

    settings: Settings
    directory: Directory
    vault: Vault
    clock: Callable[[], datetime]
    journal: Journal


Maker = Callable[[SourceSettings, Surroundings], CertificateSource]


def _acme(one: SourceSettings, around: Surroundings) -> CertificateSource:
    from gatepost.enrol.acme import Acme, Service  # noqa: PLC0415  where it is configured
    from gatepost.enrol.acme_account import Accounts  # noqa: PLC0415
    from gatepost.enrol.expectation import Expectations  # noqa: PLC0415

    table = one.acme
    assert table is not None  # as the settings were checked
    service = Service(
        table.url,
        contact=table.contact,
        terms=table.terms,
        kid=table.eab_kid,
        hmac_key=lambda: password(table),
        anchors=table.anchors,
    )
    accounts = Accounts(around.directory, around.vault)
    return Acme(one.name, service, accounts, Expectations(around.directory.register))


def _est(one: SourceSettings, _: Surroundings) -> CertificateSource:
    from gatepost.enrol.carrier import Carrier  # noqa: PLC0415  where it is configured
    from gatepost.enrol.est import Est  # noqa: PLC0415

    table = one.est
    assert table is not None  # as the settings were checked
    carrier = Carrier(
        table.url.rstrip("/"),
        anchors=table.anchors,
        certificate=table.certificate,
        key=table.key,
        user=table.user,
        password=password(table) if table.user else "",
    )
    return Est(one.name, carrier, table.label, table.attributes)


def _cmp(one: SourceSettings, _: Surroundings) -> CertificateSource:
    from cryptography import x509  # noqa: PLC0415  where it is configured

    from gatepost.enrol.carrier import Carrier  # noqa: PLC0415
    from gatepost.enrol.cmp import Cmp  # noqa: PLC0415
    from gatepost.enrol.cmp_protection import Secret  # noqa: PLC0415
    from gatepost.pki.pem import read_certificates  # noqa: PLC0415

    table = one.cmp
    assert table is not None  # as the settings were checked
    secret = Secret(table.reference, password(table)) if table.reference else None
    recipient = x509.Name.from_rfc4514_string(table.recipient)
    try:
        signers = read_certificates(table.signers.read_bytes()) if table.signers else ()
    except OSError as error:
        raise ConfigError(f"{table.signers} cannot be read: {error.strerror}") from error
    carrier = Carrier(table.url, anchors=table.anchors)
    return Cmp(one.name, carrier, secret, recipient, signers, table.sign_renewals)


def _file(one: SourceSettings, _: Surroundings) -> CertificateSource:
    from gatepost.enrol.file import ByFile  # noqa: PLC0415  where it is configured

    table = one.file
    assert table is not None  # as the settings were checked
    return ByFile(one.name, table.outbox, table.inbox)


BUILT_IN: Final[dict[str, Maker]] = {
    "acme": _acme,
    "cmp": _cmp,
    "est": _est,
    "file": _file,
}


def issuer(one: SourceSettings, around: Surroundings) -> CertificateSource:
    """One source; raises ConfigError saying what is wrong with it."""
    try:
        if one.kind in BUILT_IN:
            return BUILT_IN[one.kind](one, around)
        return _plugged_in(one)
    except GatepostError as error:
        raise ConfigError(f"certificate source {one.name!r}: {error}") from error


def issuers(around: Surroundings) -> Mapping[str, CertificateSource]:
    """Every source that can be made, by name; the others are noted, and their mail waits."""
    made = {}
    for one in around.settings.certificate_source:
        try:
            made[one.name] = issuer(one, around)
        except GatepostError as error:
            around.journal.note(Name.SERVICE_ERROR, service="enrolment", reason=str(error))
    return made


def kinds() -> tuple[str, ...]:
    """Every kind that can be used here."""
    return tuple(sorted({*BUILT_IN, *(one.name for one in entry_points(group=GROUP))}))


def _plugged_in(one: SourceSettings) -> CertificateSource:
    found = list(entry_points(group=GROUP, name=one.kind))
    if not found:
        raise ConfigError(f"there is no kind {one.kind!r}; known here: {_listed(kinds())}")
    if len(found) > 1:
        raise ConfigError(f"{len(found)} plug-ins bring the kind {one.kind!r}")
    made = _made(found[0], one)
    for name in ("name", "request", "collect"):
        if not hasattr(made, name):
            raise ConfigError(f"the plug-in for {one.kind!r} makes something without {name!r}")
    return made


def _made(found: EntryPoint, one: SourceSettings) -> CertificateSource:
    try:
        make: Callable[[str, dict[str, Any]], CertificateSource] = found.load()
        return make(one.name, dict(one.options))
    except GatepostError:
        raise
    except Exception as error:  # a stranger's code: whatever it raises
        raise ConfigError(f"the plug-in for {one.kind!r} failed: {reason_of(error)}") from error


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
