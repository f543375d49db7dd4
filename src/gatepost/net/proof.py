"""What a server proves of itself in the TLS handshake, before a word is said to it.

Chains are verified by OpenSSL where the policy is `verified`; names beyond one, and TLSA
records (RFC 7672), are compared here.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from gatepost.mail.delivery import NextHop
from gatepost.route.name import matching
from gatepost.route.tlsa import Unproven, proven

_SHOWN = 16  # digits of a fingerprint


def proof(connection: object, hop: NextHop, clock: Callable[[], datetime]) -> str:
    """What the certificate proves, in words; raises Unproven."""
    chain = chain_of(connection)
    shown = f"certificate SHA-256 {hashlib.sha256(chain[0]).hexdigest()[:_SHOWN]}…" if chain else ""
    if hop.tls == "dane":
        fits = proven(hop.tlsa, chain, hop.names, clock())
        return f"{fits}, {shown}"
    if hop.tls == "verified":
        presented = _names(connection)
        if hop.names:
            named = matching(hop.names, presented)
            if named is None:
                raise Unproven(
                    f"its certificate names {', '.join(presented[:3]) or 'no host'}, "
                    f"not {' or '.join(hop.names)}"
                )
            return f"{shown} names {named}"
        return f"{shown} names {hop.tls_name or hop.host}"
    return f"any certificate will do, {shown}"


def chain_of(connection: object) -> tuple[bytes, ...]:
    """The certificates as the server sent them, its own first, DER each."""
    if not isinstance(connection, ssl.SSLObject | ssl.SSLSocket):
        return ()
    leaf = connection.getpeercert(binary_form=True)
    # Public from Python 3.13 on; before, the inner object has it all the same.
    inner = connection if hasattr(connection, "get_unverified_chain") else connection._sslobj  # type: ignore[union-attr]  # noqa: SLF001  as said
    chain = inner.get_unverified_chain() or ()
    octets = tuple(one if isinstance(one, bytes) else _der(one) for one in chain)
    return octets or ((leaf,) if leaf else ())


def _der(certificate: object) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.public_bytes())  # type: ignore[attr-defined]  # _ssl.Certificate


def _names(connection: object) -> tuple[str, ...]:
    """The DNS names of a verified certificate (RFC 9525 section 2: common names never count)."""
    if not isinstance(connection, ssl.SSLObject | ssl.SSLSocket):
        return ()
    fields: Mapping[str, Any] = connection.getpeercert() or {}
    listed = fields.get("subjectAltName", ())
    return tuple(str(value) for kind, value in listed if kind == "DNS")
