"""Cryptographic Message Syntax: the mathematics of signed and enveloped data (RFC 5652)."""
