"""Everything one asks of or does to a header, under one name.

Fields and addresses belong to RFC 5322 and stand in `mail`; what MIME adds
(RFC 2045) stands in `content_type`.
"""

from __future__ import annotations

from gatepost.mail.field import (
    Field,
    compose,
    every,
    fields,
    first,
    prepended,
    replaced,
    spans,
    without,
)
from gatepost.mail.mailbox_list import author, authors, mailboxes, seen
from gatepost.mime.content_type import (
    ContentType,
    content_type,
    disposition,
    encoding,
    filename,
)

__all__ = [
    "ContentType",
    "Field",
    "author",
    "authors",
    "compose",
    "content_type",
    "disposition",
    "encoding",
    "every",
    "fields",
    "filename",
    "first",
    "mailboxes",
    "prepended",
    "replaced",
    "seen",
    "spans",
    "without",
]
