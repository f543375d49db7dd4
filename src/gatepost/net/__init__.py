"""Sockets, TLS and name look-ups."""
