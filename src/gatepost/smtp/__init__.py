"""SMTP without sockets: sessions as tables of states (RFC 5321)."""
