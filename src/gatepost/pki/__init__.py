"""X.509 trust: paths, anchors, usability and identity of certificates (RFC 5280, 8550)."""
