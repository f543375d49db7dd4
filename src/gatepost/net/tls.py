"""TLS contexts for both sides of SMTP (RFC 3207, RFC 8996: nothing below TLS 1.2)."""

from __future__ import annotations

import ssl
from pathlib import Path

from gatepost.errors import ConfigError


def server_context(
    certificate: Path, key: Path, *, ask: bool = False, anchors: str = ""
) -> ssl.SSLContext:
    """A server's context from PEM files: the chain, leaf first, and its private key.

    With `ask` clients are asked for a certificate.  One that does not lead to `anchors` (a
    PEM file of issuers, or of the very certificates; empty: the system's) ends the handshake.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password=_unknown)
    if ask:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a listed certificate is enough
        if anchors:
            context.load_verify_locations(cafile=anchors)
        else:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    return context


def client_context(
    *,
    verify: bool,
    anchors: str = "",
    identity: tuple[Path, Path] | None = None,
    names: bool = True,
) -> ssl.SSLContext:
    """A client's context; without `verify` any certificate will do (RFC 7435).

    `anchors` is a PEM file of trust anchors; empty means the system's.  `identity` is our
    own certificate and key, shown to a server that asks.  Without `names` the certificate's
    names are left to `net.proof`, which knows several.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = verify and names
    if identity is not None:
        context.load_cert_chain(*identity, password=_unknown)
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    elif anchors:
        context.load_verify_locations(cafile=anchors)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _unknown() -> str:
    """Nobody is asked for a password at the terminal of a service."""
    raise ConfigError("the private key is encrypted, and a service has nobody to ask")


def describe(connection: object) -> str | None:
    """What a connection's `ssl_object` negotiated: "TLSv1.3 TLS_AES_256_GCM_SHA384"."""
    if not hasattr(connection, "cipher") or not hasattr(connection, "version"):
        return None
    cipher = connection.cipher()
    name = cipher[0] if cipher else "unknown"
    return f"{connection.version()} {name}"
