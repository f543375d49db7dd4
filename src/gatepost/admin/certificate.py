"""Certificates of the directory: find, show, import, export, issue, delete; and lend its keys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from gatepost.admin import credential, known
from gatepost.admin.access import expect_ours, opened
from gatepost.admin.credential import Credential, Passphrase
from gatepost.admin.enrolment import finished
from gatepost.certificate import Certificate
from gatepost.cms.capability import Decryptor, Signer
from gatepost.config import Settings
from gatepost.engine.enrolment import members
from gatepost.engine.service import Stores
from gatepost.enrol.rule import Rules
from gatepost.errors import ConfigError
from gatepost.mail.address import Mailbox
from gatepost.mime import headers, split_header
from gatepost.pki.choose import choose
from gatepost.pki.usable import usable_for
from gatepost.pki.validate import Anchors, PathReport, validate
from gatepost.store import request as store
from gatepost.store.record import Entry
from gatepost.store.trust import divide
from gatepost.vault.keys import Purpose

Kind = Literal["sign", "encrypt"]
Form = Literal["pem", "der", "pkcs12"]
KINDS: tuple[Kind, ...] = ("sign", "encrypt")


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate of the directory and what is to be thought of it."""

    entry: Entry
    path: PathReport
    signing: tuple[str, ...]  # reasons why not
    encrypting: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            **summary(self.entry),
            "subject": self.entry.certificate.x509.subject.rfc4514_string(),
            "issuer": self.entry.certificate.x509.issuer.rfc4514_string(),
            "serial": f"{self.entry.certificate.serial:x}",
            "emails": list(self.entry.certificate.emails),
            "key_usage": sorted(self.entry.certificate.key_usage or ()),
            "trusted": self.path.trusted,
            "path": [one.name for one in self.path.chain],
            "reasons": list(self.path.reasons),
            "cannot_sign": list(self.signing),
            "cannot_encrypt": list(self.encrypting),
            "pem": self.entry.certificate.pem,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """Certificates of the directory."""

    entries: tuple[Entry, ...]
    remarks: tuple[str, ...] = ()  # what whoever brought them should know

    def as_data(self) -> list[dict[str, Any]]:
        """Values JSON can carry."""
        return [summary(one) for one in self.entries]


@dataclass(frozen=True, slots=True)
class Exported:
    """A certificate, perhaps with its private key, as octets of a file."""

    certificate: Certificate
    octets: bytes
    with_key: bool

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry; the octets go to a file."""
        return {
            "fingerprint": self.certificate.fingerprint,
            "size": len(self.octets),
            "with_key": self.with_key,
        }


def summary(entry: Entry) -> dict[str, Any]:
    """An entry's line as values JSON can carry."""
    one = entry.certificate
    return {
        "fingerprint": one.fingerprint,
        "name": one.name,
        "addresses": [{"address": use.address, "source": use.source} for use in entry.uses],
        "authority": one.is_authority,
        "private_key": entry.key_purpose,
        "not_before": one.not_before.isoformat(),
        "not_after": one.not_after.isoformat(),
    }


def find(config: Path | None, text: str = "", *, limit: int = 200) -> Found:
    """Certificates by part of a name or address, or beginning of a fingerprint."""
    with opened(config) as (_, stores):
        return Found(stores.directory.find(text, limit=limit))


def show(config: Path | None, which: str, now: datetime) -> Shown:
    """One certificate, by fingerprint or by the only address that has it."""
    with opened(config) as (settings, stores):
        entry = find_one(stores, which)
        one = entry.certificate
        domain = one.emails[0].rpartition("@")[2] if one.emails else ""
        trusted = known.anchors(settings, stores, domain, now)
        path = validate(one, stores.directory.issuers_of(one), trusted, moment=now)
        return Shown(entry, path, usable_for(one, "sign", now), usable_for(one, "encrypt", now))


def take_in(
    config: Path | None,
    certificates: Sequence[Certificate],
    addresses: Sequence[str],
    now: datetime,
) -> Found:
    """Keep certificates without keys, for these addresses or those they name.

    An end entity goes to its addresses; a CA is kept to build paths, and trusted by nothing.
    One that answers a request of ours becomes current, with the key made for it.  One that
    has ended is left out.
    """
    if addresses and len(certificates) != 1:
        raise ConfigError("one certificate at a time can be filed for another address")
    good, ended = _lasting(certificates, now)
    wanted = {one: addresses or _addresses(one) for one in good}  # complaints before changes
    with opened(config) as (_, stores):
        told = finished(stores, good, now)
        for one in good:
            if one in told and not addresses:
                continue  # it is filed, with its key
            source: Literal["pinned", "imported"] = "pinned" if addresses else "imported"
            stores.directory.add_certificate(one, wanted[one], source=source, now=now)
        kept = (stores.directory.entry(one.fingerprint) for one in good)
        remarks = (*told.values(), *ended, *(_remark(one, now) for one in good))
        return Found(tuple(kept), tuple(filter(None, remarks)))


def take_in_key(
    config: Path | None, given: Credential, addresses: Sequence[str], now: datetime
) -> Found:
    """Keep a private key with its certificate; mail for these addresses can then be opened."""
    wanted = addresses or _addresses(given.certificate)
    with opened(config) as (_, stores):
        purpose = purpose_of(given.certificate)
        stores.vault.add(given.key, given.certificate, purpose, addresses=wanted, now=now)
        for issuer in given.chain:  # last: what cannot be taken in changes nothing
            stores.directory.add_certificate(issuer, (), now=now)
        remark = _remark(given.certificate, now, with_key=True)
        kept = stores.directory.entry(given.certificate.fingerprint)
        return Found((kept,), (remark,) if remark else ())


def give_out(
    config: Path | None, which: str, form: Form, passphrase: Passphrase | None
) -> Exported:
    """A certificate as a file; with its private key if there is a passphrase to protect it."""
    with opened(config) as (settings, stores):
        if passphrase is not None and settings.vault.four_eyes:
            raise ConfigError(
                "[vault] four_eyes: a private key leaves with two administrators only",
                hint="gatepost key export",
            )
        one = _authority(stores) if which == "ca" else find_one(stores, which).certificate
        issuers = () if which == "ca" else stores.directory.issuers_of(one)
        if passphrase is None:
            if form == "pkcs12":
                raise ConfigError("PKCS #12 is for private keys", hint="--with-key, or --form pem")
            shown = (one, *_issuing(stores, which))
            octets = one.der if form == "der" else "".join(each.pem for each in shown).encode()
            return Exported(one, octets, with_key=False)
        if form == "der":
            raise ConfigError("DER holds one certificate only", hint="--form pkcs12, or pem")
        given = Credential(one, issuers, stores.vault.private_key_of(one))
        secret = passphrase()
        if not secret:
            raise ConfigError("a private key leaves the vault under a passphrase only")
        write = credential.as_pkcs12 if form == "pkcs12" else credential.as_pem
        return Exported(one, write(given, secret), with_key=True)


def issue(config: Path | None, address: str, kinds: Sequence[Kind], now: datetime) -> Found:
    """Issue certificates to an address of ours; they become its current ones."""
    with opened(config) as (settings, stores):
        if stores.authority is None:
            raise ConfigError("there is no certification authority here", hint="gatepost init")
        mailbox = Mailbox.parse(address)
        expect_ours(settings, mailbox.domain)
        has_one = _has_one_key(settings, mailbox, kinds)
        wanted: Sequence[store.Purpose] = ("both",) if has_one else kinds
        issued = [stores.authority.issue(mailbox, kind, now) for kind in wanted]
        return Found(tuple(stores.directory.entry(one.fingerprint) for one in issued))


def _has_one_key(settings: Settings, mailbox: Mailbox, kinds: Sequence[Kind]) -> bool:
    """Whether a rule gives an address one certificate where two are asked for."""
    if len(kinds) < len(KINDS) or all(one.keys != "one" for one in settings.identity):
        return False
    rules = Rules(settings.identity, members(settings))
    asyncio.run(rules.refresh())
    return rules.of(mailbox).keys == "one"


def issue_domain(config: Path | None, domain: str, kinds: Sequence[Kind], now: datetime) -> Found:
    """Issue certificates to a whole domain of ours (RFC 3183)."""
    with opened(config) as (settings, stores):
        authority = stores.authority
        if authority is None:
            raise ConfigError("there is no certification authority here", hint="gatepost init")
        expect_ours(settings, domain)
        make = {"sign": authority.issue_domain_signer, "encrypt": authority.issue_domain}
        issued = [make[kind](domain, now) for kind in kinds]
        return Found(tuple(stores.directory.entry(one.fingerprint) for one in issued))


def delete(config: Path | None, which: str, *, with_key: bool) -> Found:
    """Forget a certificate; its private key only when asked in so many words."""
    with opened(config) as (_, stores):
        entry = find_one(stores, which)
        if entry.key_purpose is not None and not with_key:
            raise ConfigError(
                f"{entry.certificate.name} has its private key here; "
                "without it, mail encrypted to it can never be read again",
                hint="--with-key deletes both",
            )
        stores.directory.remove_certificate(entry.certificate, with_key=with_key)
        return Found((entry,))


# Lending


def signer(config: Path | None, address: str, now: datetime) -> Signer:
    """The key an address of ours signs with; nothing is issued."""
    mailbox = Mailbox.parse(address)
    with opened(config) as (_, stores):
        found = stores.vault.signer_for(mailbox, now)
    if found is None:
        raise ConfigError(
            f"there is no key for {mailbox} to sign with", hint=f"gatepost cert issue {mailbox}"
        )
    return found


def decryptors(config: Path | None, address: str) -> tuple[Decryptor, ...]:
    """Every key that may open an address's mail."""
    mailbox = Mailbox.parse(address)
    with opened(config) as (_, stores):
        found = stores.vault.decryptors_for(mailbox)
    if not found:
        raise ConfigError(f"there is no key for {mailbox} here", hint="gatepost cert list")
    return found


def chosen(config: Path | None, address: str, now: datetime) -> Certificate:
    """The certificate the gateway would encrypt to; raises ConfigError with the reasons."""
    mailbox = Mailbox.parse(address)
    with opened(config) as (settings, stores):
        trusted = known.anchors(settings, stores, mailbox.domain_key, now)
        found = known.candidates(settings, stores, mailbox, now)
        choice = choose(found, mailbox, trusted, now)
    if choice.chosen is None:
        why = "; ".join(f"{one.certificate.name}: {one.reason}" for one in choice.rejected)
        raise ConfigError(
            f"there is no certificate for {mailbox}" + (f" ({why})" if why else ""),
            hint="gatepost cert import FILE, or gatepost partner add DOMAIN --ca FILE",
        )
    return choice.chosen


def anchors_for(
    message: bytes, files: Sequence[Path], config: Path | None, now: datetime
) -> Anchors:
    """What counts for a message's author: the CAs in files, else what the gateway goes by."""
    if files:
        given = [one for path in files for one in credential.certificates_in(path)]
        roots, intermediates = divide(given)
        return Anchors(frozenset(roots), frozenset(intermediates))
    author = headers.author(split_header(message)[0])
    domain = author.domain_key if author else ""
    try:
        with opened(config) as (settings, stores):
            return known.anchors(settings, stores, domain, now)
    except ConfigError:
        if config is not None:
            raise
        return Anchors(frozenset())  # no installation here: everything is "not trusted"


def signers_for(
    message: bytes, files: Sequence[Path], config: Path | None
) -> tuple[Certificate, ...]:
    """What the directory has of a message's author, whose mail may not bring his certificate."""
    author = headers.author(split_header(message)[0])
    if files or author is None:
        return ()
    try:
        with opened(config) as (_, stores):
            return stores.directory.signers_of(author)
    except ConfigError:
        if config is not None:
            raise
        return ()


def _lasting(
    certificates: Sequence[Certificate], now: datetime
) -> tuple[list[Certificate], list[str]]:
    """Those that can be of use, and why others cannot; raises ConfigError when none can."""
    good = [one for one in certificates if one.is_authority or now <= one.not_after]
    ended = [
        f"{one.name} expired on {one.not_after:%Y-%m-%d} and was not imported"
        for one in certificates
        if one not in good
    ]
    if ended and not good:
        raise ConfigError(
            ended[0], hint="an old key, which opens old mail, is imported with its certificate"
        )
    return good, ended


def _remark(one: Certificate, now: datetime, *, with_key: bool = False) -> str:
    """Why a certificate that was taken in will not be used."""
    if one.is_authority:
        if with_key:
            return (
                f"{one.name} is a CA's certificate: nobody's mail is signed or opened with its key"
            )
        return f"{one.name} is a CA: gatepost partner add DOMAIN --ca FILE trusts it"
    signing, encrypting = usable_for(one, "sign", now), usable_for(one, "encrypt", now)
    if signing and encrypting:
        return f"{one.name} cannot be used now: {'; '.join(dict.fromkeys(signing + encrypting))}"
    return ""


def find_one(stores: Stores, which: str) -> Entry:
    """By fingerprint, or by address if there is one certificate for it."""
    if "@" not in which:
        return stores.directory.entry(which)
    found = stores.directory.find(address=which)
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"there is no certificate for {which}", hint="gatepost cert list")
    named = ", ".join(
        one.certificate.fingerprint[:16] + (f" ({one.key_purpose})" if one.key_purpose else "")
        for one in found
    )
    raise ConfigError(
        f"{len(found)} certificates are for {which}", hint=f"name one of them: {named}"
    )


def _authority(stores: Stores) -> Certificate:
    if stores.authority is None:
        raise ConfigError("there is no certification authority here", hint="gatepost init")
    return stores.authority.root


def _issuing(stores: Stores, which: str) -> tuple[Certificate, ...]:
    """The issuing CA beside the company's root: without it a partner cannot follow the path."""
    return (stores.authority.issuing,) if which == "ca" and stores.authority is not None else ()


def _addresses(one: Certificate) -> tuple[str, ...]:
    if not one.emails and not one.is_authority:
        raise ConfigError(f"{one.name} names no address", hint="--for ADDRESS says whose it is")
    return () if one.is_authority else one.emails


def purpose_of(certificate: Certificate) -> Purpose:
    """What the certificate's key usage allows."""
    usage = certificate.key_usage
    if usage is None:
        return "both"
    signs = bool(usage & {"digital_signature", "content_commitment"})
    encrypts = bool(usage & {"key_encipherment", "key_agreement"})
    return "both" if signs is encrypts else "sign" if signs else "encrypt"
