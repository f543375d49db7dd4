"""Durable things: queue, spool, directory of certificates and partners."""
