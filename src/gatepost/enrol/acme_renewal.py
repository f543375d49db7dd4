"""When an authority that speaks ACME would have a certificate renewed (RFC 9773)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from acme import messages
from cryptography import x509
from josepy import b64

from gatepost.certificate import Certificate
from gatepost.cms import der
from gatepost.enrol.source import Advice
from gatepost.errors import Unavailable

AGAIN: Final = timedelta(hours=6)  # section 4.3.3, where the answer does not say
SOONEST, LATEST = timedelta(minutes=1), timedelta(days=1)  # section 4.3.2
LONGEST: Final = 500  # characters of a URL


def certificate_id(certificate: Certificate) -> str:
    """Section 4.1: the authority's key identifier and the serial number; empty: it has none."""
    try:
        found = certificate.x509.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        return ""
    key = found.value.key_identifier
    serial = der.integer(certificate.serial)[2:]  # at most 20 octets: its length is one
    return f"{_encoded(key)}.{_encoded(serial)}" if key else ""


def read(data: Mapping[str, Any], again: timedelta) -> Advice:
    """A RenewalInfo object (section 4.2); raises Unavailable."""
    window = messages.RenewalInfo.from_json(data).suggested_window
    start, end = window.start, window.end
    if not isinstance(start, datetime) or not isinstance(end, datetime) or start >= end:
        raise Unavailable("the suggested window ends before it begins")
    url = data.get("explanationURL")
    shown = url if isinstance(url, str) and _is_shown(url) else ""
    return Advice(start, end, min(max(again, SOONEST), LATEST), shown)


def _is_shown(url: str) -> bool:
    right = url.startswith("https://") and url.isascii() and url.isprintable()
    return right and " " not in url and len(url) <= LONGEST


def _encoded(octets: bytes) -> str:
    return b64.b64encode(octets).decode("ascii")
