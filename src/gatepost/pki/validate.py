"""Certification path validation for e-mail (RFC 5280 section 6, RFC 8550)."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.certificate import Certificate


@dataclass(frozen=True, slots=True)
class Anchors:
    """Trust anchors that count for one question, and intermediates we know of."""

    roots: frozenset[Certificate]
    intermediates: frozenset[Certificate] = frozenset()
