"""From a finished mail transaction to messages: header and body apart, one per direction."""

from __future__ import annotations

from gatepost.errors import LimitExceeded
from gatepost.mail.content import Content, Octets, Slice, join
from gatepost.mime.entity import split_header

MAXIMUM_HEADER = 1024 * 1024  # octets looked through for the end of the header


def split(content: Content) -> tuple[bytes, Content]:
    """Cut content into header block and body; large content is not read beyond its header.

    Raises LimitExceeded when the header does not end in time.
    """
    if isinstance(content, Octets):
        header, body = split_header(content.data)
        return header, Octets(body)
    prefix = join(Slice(content, 0, min(content.size, MAXIMUM_HEADER)))
    header, body = split_header(prefix)
    start = len(prefix) - len(body)
    if not body and content.size > start:
        raise LimitExceeded(f"the header is longer than {MAXIMUM_HEADER} octets")
    return header, Slice(content, start, content.size)
