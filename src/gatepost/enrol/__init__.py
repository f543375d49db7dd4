"""Certificates from a certification authority."""
