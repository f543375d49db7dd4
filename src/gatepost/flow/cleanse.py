"""Take out what only we may say: results, headers and subject tags of ours (RFC 8601 section 5).

Whatever arrives from outside in our name is forged, or old; either way it goes before
anything is looked at, and again after layers were opened.
"""

from __future__ import annotations

from dataclasses import fields, replace

from gatepost.flow import subject
from gatepost.flow.context import Context
from gatepost.flow.fact import Fact
from gatepost.flow.verdict import Continue, Verdict
from gatepost.mail import trace
from gatepost.mail.message import Message
from gatepost.mime import headers
from gatepost.policy.rules import Tags

OURS = "x-gatepost-"


def asks(_message: Message, _context: Context) -> frozenset[Fact]:
    """Nothing."""
    return frozenset()


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Clean the header."""
    return replace(message, header=cleaned(message.header, context)), Continue()


def cleaned(header: bytes, context: Context) -> bytes:
    """The header without anything that claims to be ours."""
    header = trace.strip_authentication_results(header, context.hostname)
    ours = {one.name for one in headers.fields(header) if one.name.lower().startswith(OURS)}
    header = headers.without(header, *ours)
    if context.policy.inbound.tag_subject:
        header = subject.without(header, tags(context))
    return header


def tags(context: Context) -> tuple[str, ...]:
    """Every text we ever put before a subject."""
    written = context.policy.inbound.tags
    return tuple(text for one in fields(Tags) if (text := getattr(written, one.name)))
