"""Byte-preserving MIME: part boundaries, header fields, canonical forms (RFC 2045, 2046, 5322)."""

from gatepost.mime.entity import split_header

__all__ = ["split_header"]
