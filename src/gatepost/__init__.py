"""Gatepost: a secure-mail gateway that signs, encrypts, decrypts and verifies in transit."""

__version__ = "0.1.0"
