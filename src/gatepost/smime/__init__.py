"""S/MIME: MIME entities in, MIME entities out (RFC 8551)."""
