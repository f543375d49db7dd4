"""What `[[certificate_source]]` makes of the kinds that are built in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from tests.unit.route.people import card

from gatepost.config.acme import Acme as AcmeSettings
from gatepost.config.certificate_source import BUILT_IN
from gatepost.config.certificate_source import CertificateSource as SourceSettings
from gatepost.config.cmp import Cmp as CmpSettings
from gatepost.config.est import Est as EstSettings
from gatepost.config.folder import Folders
from gatepost.engine import issuer as registry
from gatepost.engine.issuer import Surroundings, issuer
from gatepost.enrol.acme import Acme
from gatepost.enrol.cmp import Cmp
from gatepost.enrol.cmp_protection import Secret
from gatepost.enrol.est import Est
from gatepost.enrol.file import ByFile
from gatepost.errors import ConfigError
from gatepost.store.directory import Directory

AROUND = cast("Surroundings", None)  # which these do not need


def test_every_kind_is_made() -> None:
    """A kind that the settings know is refused at the first mail."""
    assert set(registry.BUILT_IN) == BUILT_IN


def test_est(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is asked without the password, or somebody else is believed to be it."""
    monkeypatch.setenv("EST_PASSWORD", "sesame")
    table = EstSettings(
        url="https://est.example.com/",
        label="mail",
        anchors=Path("/a"),
        user="gw",
        password_environment="EST_PASSWORD",
        attributes=False,
    )
    made = issuer(SourceSettings("vendor", "est", est=table), AROUND)
    assert isinstance(made, Est)
    assert (made.name, made.label, made.heeds) == ("vendor", "mail", False)
    assert made.carrier.url == "https://est.example.com"
    assert (made.carrier.user, made.carrier.password) == ("gw", "sesame")
    assert made.carrier.anchors == Path("/a")


def test_est_without_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that is missing is noticed by the server alone."""
    monkeypatch.delenv("EST_PASSWORD", raising=False)
    table = EstSettings(url="https://e", user="gw", password_environment="EST_PASSWORD")
    with pytest.raises(ConfigError, match="source 'vendor': environment variable EST_PASSWORD"):
        issuer(SourceSettings("vendor", "est", est=table), AROUND)


def test_acme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The account is bound to nobody, or the authority's terms are agreed to by nobody."""
    monkeypatch.setenv("EAB", "a2V5")
    table = AcmeSettings(
        url="https://ca.example.com/directory",
        contact="pki@example.com",
        terms="https://ca.example.com/terms",
        eab_kid="7",
        password_environment="EAB",
    )
    with Directory(tmp_path / "directory.sqlite") as directory:
        around = cast("Surroundings", SimpleNamespace(directory=directory, vault=None))
        made = issuer(SourceSettings("vendor", "acme", acme=table), around)
    assert isinstance(made, Acme)
    service = made.service
    assert (service.url, service.contact) == (table.url, table.contact)
    assert (service.terms, service.kid, service.hmac_key()) == (table.terms, "7", "a2V5")


def test_file() -> None:
    """Requests go where nobody looks."""
    table = Folders(outbox=Path("/out"), inbox=Path("/in"))
    made = issuer(SourceSettings("vendor", "file", file=table), AROUND)
    assert made == ByFile("vendor", Path("/out"), Path("/in"))


def test_cmp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are protected by another secret than the authority knows."""
    monkeypatch.setenv("CMP_PASSWORD", "sesame")
    table = CmpSettings(
        url="https://ca.example.com/cmp",
        reference="gw",
        recipient="CN=Mail CA,O=Example",
        password_environment="CMP_PASSWORD",
    )
    made = issuer(SourceSettings("vendor", "cmp", cmp=table), AROUND)
    assert isinstance(made, Cmp)
    assert made.carrier.url == "https://ca.example.com/cmp"
    assert made.secret == Secret("gw", "sesame")
    assert "sesame" not in repr(made)
    assert made.recipient.rfc4514_string() == "CN=Mail CA,O=Example"


def test_cmp_signers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Answers of anybody are believed, or those of the right one are not."""
    monkeypatch.setenv("CMP_PASSWORD", "sesame")
    one = card("CMP")
    path = tmp_path / "signers.pem"
    table = CmpSettings(
        url="https://ca", reference="gw", signers=path, password_environment="CMP_PASSWORD"
    )
    settings = SourceSettings("vendor", "cmp", cmp=table)
    with pytest.raises(ConfigError, match=r"signers\.pem cannot be read: No such file"):
        issuer(settings, AROUND)
    path.write_bytes(one.pem)
    made = issuer(settings, AROUND)
    assert isinstance(made, Cmp)
    assert [signer.der for signer in made.signers] == [one.der]


def test_cmp_renewals(tmp_path: Path) -> None:
    """A password is wanted where none is, or renewals go by it all the same."""
    path = tmp_path / "signers.pem"
    path.write_bytes(card("CMP").pem)
    table = CmpSettings(url="https://ca", signers=path, sign_renewals=True)
    made = issuer(SourceSettings("vendor", "cmp", cmp=table), AROUND)
    assert isinstance(made, Cmp)
    assert (made.secret, made.renews) == (None, True)
