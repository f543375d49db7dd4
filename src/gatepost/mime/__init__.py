"""Byte-preserving MIME: part boundaries, header fields, canonical forms (RFC 2045, 2046, 5322)."""
