"""Checks of keys: the vault's, and the one for TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from cryptography import x509

from gatepost.admin.check.directory import readable
from gatepost.admin.check.registry import (
    Answer,
    Installation,
    Unready,
    bad,
    check,
    good,
    skip,
    warn,
)
from gatepost.certificate import Certificate
from gatepost.engine.custody import KEYS, custody, kek_source, load_kek
from gatepost.errors import ConfigError, GatepostError, KeyUnavailable
from gatepost.net.tls import server_context
from gatepost.vault.custody import Custody
from gatepost.vault.keys import Vault
from gatepost.vault.seal import Sealer
from gatepost.vault.wrap import Locked

_SOON = timedelta(days=21)
_MAXIMUM = 10_000


@check("KEY-01", "vault key can be read")
def can_be_read(place: Installation) -> Iterator[Answer]:
    """Private keys and queued bodies are sealed under this key.

    Without it nothing can be signed, decrypted or delivered. Keep a copy in a safe place.
    """
    source = kek_source(place.right)
    try:
        found = load_kek(place.right)
    except Locked:
        yield skip(f"{source} is under a passphrase, and there is no terminal to ask for it")
        return
    yield good(f"{source}, key id {found.id.hex()}")


@check("KEY-02", "vault key opens the private keys")
def opens_keys(place: Installation) -> Iterator[Answer]:
    """Opens one private key of the directory.

    A key from another backup or machine can be read, but opens nothing: no mail could be
    signed or decrypted, and what waits in the queue could not be sent.
    """
    try:
        key = load_kek(place.right)
    except GatepostError as error:
        raise Unready("needs the vault key (KEY-01)") from error
    yield from opened(place, custody(place.right, Sealer(key, KEYS)), f", key id {key.id.hex()}")


def opened(place: Installation, keys: Custody, said: str = "") -> Iterator[Answer]:
    """Whether these are the keys of the directory."""
    with readable(place) as directory:
        held = directory.find(limit=_MAXIMUM)
        one = next((one.certificate for one in held if one.key_purpose is not None), None)
        if one is None:
            yield skip("no private key is here yet")
            return
        try:
            Vault(directory, keys).private_key_of(one)
        except KeyUnavailable:
            yield bad(
                f"{kek_source(place.right)}{said} does not open the private key of {one.name}",
                "bring back the key that was there before; it belongs to this directory",
            )
        else:
            yield good(f"opens the private key of {one.name}")


@check("TLS-01", "TLS certificate and key fit")
def fit(place: Installation) -> Iterator[Answer]:
    """Listeners with STARTTLS show this certificate.

    It must fit its key, be in time, and should carry the gateway's hostname.
    """
    tls = place.right.tls
    if tls is None:
        yield skip("no [tls], no listener offers STARTTLS")
        return
    if fault := _fault(tls.certificate, tls.key):
        yield bad(fault, "see certificate and key in [tls]")
        return
    leaf = Certificate.from_pem(tls.certificate.read_bytes())[0]
    left = leaf.not_after - place.now
    until = f"{leaf.name}, valid until {leaf.not_after:%Y-%m-%d}"
    if left < timedelta(0) or leaf.not_before > place.now:
        yield bad(f"not valid now: {until}", "install a new certificate")
    elif left < _SOON:
        yield warn(f"expires in {left.days} days: {until}", "install a new certificate")
    else:
        yield good(until)
    if place.right.gateway.hostname not in _names(leaf):
        yield warn(
            f"does not carry the hostname {place.right.gateway.hostname}",
            "peers that verify names will not connect; issue it for the hostname",
        )


def _fault(certificate: Path, key: Path) -> str:
    """Why TLS cannot use these files; OpenSSL's own complaint names neither."""
    for path, sign in ((certificate, b"CERTIFICATE-----"), (key, b"PRIVATE KEY-----")):
        try:
            octets = path.read_bytes()
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"
        if sign not in octets:
            return f"{path} holds no {'certificate' if path == certificate else 'private key'}"
    try:
        server_context(certificate, key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{key} is not the key of {certificate}"
        return f"{certificate} and {key} cannot be used: {error.reason or error}"
    except ConfigError as error:
        return f"{key}: {error}"
    return ""


def _names(leaf: Certificate) -> list[str]:
    try:
        found = leaf.x509.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return [leaf.name.lower()]
    return [name.lower() for name in found.value.get_values_for_type(x509.DNSName)]
