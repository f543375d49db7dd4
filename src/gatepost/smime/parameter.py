"""Add and remove one Content-Type parameter, leaving the field's other octets (RFC 2045 5.1).

What was added comes off again without a trace, so a reader gets the field its author wrote.
"""

from __future__ import annotations

import re

from gatepost.mime import content_type as media
from gatepost.mime import headers

_NAME = "Content-Type"
_LOOSE_END = b"; \t\r\n"


def added(fields: bytes, name: str, value: str) -> bytes:
    """The fields with this parameter in their Content-Type, which must be there."""
    fields = removed(fields, name)
    found = headers.first(fields, _NAME)
    if found is None:
        return fields
    raw = found.raw.rstrip(_LOOSE_END) + f';\r\n {name}="{value}"\r\n'.encode("ascii")
    # an open quote or comment swallows what follows, and a type that is none has no parameters
    if media.parse(_value(raw)).get(name) != value:
        kind = media.parse(found.value)  # what follows very many parameters is not read either
        made = media.ContentType(kind.type, kind.subtype, {name: value, **kind.parameters})
        raw = headers.compose(_NAME, made.compose().encode("ascii"))
    return fields[: found.start] + raw + fields[found.stop :]


def removed(fields: bytes, *names: str) -> bytes:
    """The fields without these parameters in their Content-Type."""
    for name in names:
        fields = _removed(fields, name)
    return fields


def _removed(fields: bytes, name: str) -> bytes:
    found = headers.first(fields, _NAME)
    if found is None or name.encode("ascii") not in found.raw.lower():
        return fields
    kind = media.parse(found.value)
    if name not in kind.parameters:
        return fields
    left = {key: value for key, value in kind.parameters.items() if key != name}
    raw = _pattern(name).sub(b"", found.raw, count=1)
    if raw == found.raw or dict(media.parse(_value(raw)).parameters) != left:
        made = media.ContentType(kind.type, kind.subtype, left).compose()
        raw = headers.compose(_NAME, made.encode("ascii"))
    return fields[: found.start] + raw + fields[found.stop :]


def _pattern(name: str) -> re.Pattern[bytes]:
    return re.compile(rb"(?i);\s*" + re.escape(name.encode("ascii")) + rb'=(?:"[\w.-]*"|[\w.-]+)')


def _value(raw: bytes) -> bytes:
    return headers.fields(raw)[0].value
