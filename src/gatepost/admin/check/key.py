"""Checks of keys: the vault's, and the one for TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import timedelta

from cryptography import x509

from gatepost.admin.check.registry import Answer, Installation, bad, check, good, skip, warn
from gatepost.certificate import Certificate
from gatepost.engine.service import kek_source
from gatepost.net.tls import server_context
from gatepost.vault import kek

_SOON = timedelta(days=21)


@check("KEY-01", "vault key can be read")
def can_be_read(place: Installation) -> Iterator[Answer]:
    """Private keys and queued bodies are sealed under this key.

    Without it nothing can be signed, decrypted or delivered. Keep a copy in a safe place.
    """
    source = kek_source(place.right)
    found = kek.load(source)
    yield good(f"{source}, key id {found.id.hex()}")


@check("TLS-01", "TLS certificate and key fit")
def fit(place: Installation) -> Iterator[Answer]:
    """Listeners with STARTTLS show this certificate.

    It must fit its key, be in time, and should carry the gateway's hostname.
    """
    tls = place.right.tls
    if tls is None:
        yield skip("no [tls], no listener offers STARTTLS")
        return
    try:
        server_context(tls.certificate, tls.key)
    except ssl.SSLError as error:
        yield bad(f"{tls.certificate} and {tls.key} do not fit: {error.reason or error}")
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


def _names(leaf: Certificate) -> list[str]:
    try:
        found = leaf.x509.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return [leaf.name.lower()]
    return [name.lower() for name in found.value.get_values_for_type(x509.DNSName)]
