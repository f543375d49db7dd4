"""Read protected header fields and give them back their place (RFC 9788 section 4).

The inner value wins, except that a From with another address never does: receivers
checked the outer one (section 4.4).  What differs is told by name, never silently.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gatepost.cms import compressed
from gatepost.errors import Malformed, Unsupported
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Content, Octets, join
from gatepost.mime import entity, headers
from gatepost.mime.headers import Field
from gatepost.smime import layers, legacy_display, parameter, payload, protection
from gatepost.smime.layers import Layer
from gatepost.smime.report import HeaderReport

MAXIMUM_EXPANDED = 32 * 1024 * 1024  # of what is decompressed only to look for fields
_ONCE = frozenset(  # RFC 5322 section 3.6: "occurrences of the fields", maximum 1
    {"date", "from", "sender", "reply-to", "to", "cc", "subject"}
    | {"message-id", "in-reply-to", "references"}
)
_SHOWN = ("From", "To", "Cc", "Subject", "Date", "Reply-To", "Message-ID")  # spelling

Fields = Mapping[str, tuple[Field, ...]]


@dataclass(frozen=True, slots=True)
class Found:
    """The Cryptographic Payload of a message and the fields it carries."""

    scheme: str
    fields: Fields  # by name in lower case
    outer: Fields | None  # what HP-Outer says of the outside; None: it says nothing
    header: bytes  # the header of the entity that is shown
    body: Content
    around: Content | None = None  # the entity it came out of, if that is compressed

    @property
    def authors(self) -> tuple[Mailbox, ...]:
        """Every address in the From fields inside."""
        return _addresses(self.fields.get("from", ()))

    @property
    def readers(self) -> tuple[Mailbox, ...]:
        """Every address the author wrote to, as he let readers see it."""
        return _addresses((*self.fields.get("to", ()), *self.fields.get("cc", ())))


def found(header: bytes, whole: Content) -> Found | None:
    """Protected fields in this payload; `header` is the message's own, outside."""
    inner, body = entity.split(whole)
    kind = headers.content_type(inner)
    scheme = kind.get("hp").lower()
    if scheme in (protection.CLEAR, protection.CIPHER):
        outer = _recorded(inner) if scheme == protection.CIPHER else None
        return Found(f"hp={scheme}", _authored(inner), outer, inner, body)
    if kind.get("protected-headers").lower() == "v1":
        return Found("protected-headers=v1", _authored(inner), None, inner, body)
    if kind.essence == "message/rfc822":
        return _wrapped(header, kind.get("forwarded").lower(), body)
    return None


def payload_of(header: bytes, whole: Content) -> Found | None:
    """Protected fields in what was signed or encrypted, if that is no further layer of the kind.

    RFC 9788 section 4.1; compression protects nothing, so it is looked through.
    """
    one = found(header, whole)
    if one is None and headers.content_type(entity.split(whole)[0]).type != "application":
        return None  # spares a look into every multipart
    layer = _layer(*payload.unwrapped(header, whole))
    if layer is None:
        return one
    inside = _decompressed(layer)
    if inside is None or _layer(*payload.unwrapped(header, inside)) is not None:
        return None
    one = found(header, inside)
    return None if one is None else replace(one, around=whole)


def _decompressed(layer: Layer) -> Content | None:
    if layer.kind != "compressed-data":
        return None
    try:
        return compressed.decompress(layer.octets, limit=MAXIMUM_EXPANDED).plain
    except (Malformed, Unsupported):
        return None  # who opens the layer says why it cannot be


def shown(header: bytes, one: Found, report: HeaderReport) -> tuple[bytes, Content]:
    """The message this payload is, once nothing cryptographic is left around it."""
    header = rewritten(header, one, report)
    return cleaned(header, one) if one.around is None else payload.unwrapped(header, one.around)


def cleaned(header: bytes, one: Found) -> tuple[bytes, Content]:
    """The message with this payload as its body, and without what was added for sending."""
    inner, body = _cleaned(one) if one.scheme.startswith("hp=") else (one.header, one.body)
    return payload.disclosed(header, inner), body


def rewritten(header: bytes, one: Found, report: HeaderReport) -> bytes:
    """The outer header with the fields the report says are restored; the others stay."""
    for name in report.restored:
        key = name.lower()
        header = _put(header, key, b"".join(map(protection.copy, one.fields.get(key, ()))))
    return header


def compared(header: bytes, one: Found, *, encrypted: bool, believed: bool) -> HeaderReport:
    """What differs between inside and outside, and what is to be restored."""
    outside = _authored(header)
    hidden, differing, restored_, reasons = [], [], [], []
    for key in dict.fromkeys((*one.fields, *_added(one, outside))):
        name = _name(key, one.fields, outside)
        inside, shown = _texts(one.fields.get(key, ())), _texts(outside.get(key, ()))
        if _is_hidden(one, key, inside, shown, encrypted=encrypted):
            hidden.append(name)
        if shown != _expected(one, key, inside, shown, encrypted=encrypted):
            differing.append(name)
        if inside == shown:
            continue
        if why := _obstacle(one, key, outside):
            reasons.append(why)
        elif believed:
            restored_.append(name)
    if differing:
        reasons.append(f"changed on the way: {', '.join(differing)}")
    protected = tuple(_name(key, one.fields, outside) for key in one.fields)
    lists = (tuple(hidden), tuple(differing), tuple(restored_), tuple(dict.fromkeys(reasons)))
    return HeaderReport(one.scheme, protected, *lists, readers=one.readers)


def _obstacle(one: Found, key: str, outside: Fields) -> str:
    """Why an inner field does not take the outer one's place; empty: it does."""
    if key in _ONCE and len(one.fields.get(key, ())) > 1:
        return f"there are several {key} fields inside"
    if key == "from":
        inside, shown = _keys(one.authors), _keys(_addresses(outside.get(key, ())))
        if inside != shown:
            return f"the From inside names {_said(inside)}, the one outside {_said(shown)}"
    if any(field.value and not protection.copy(field) for field in one.fields.get(key, ())):
        return f"the {key} field inside cannot be copied"
    return ""


def _added(one: Found, outside: Fields) -> list[str]:
    """Fields for readers that only stand outside: RFC 9788 section 4 shows none of them."""
    if not one.scheme.startswith("hp="):
        return []
    return [key for key in outside if key in protection.VISIBLE and key not in one.fields]


def _is_hidden(
    one: Found, key: str, inside: Sequence[str], shown: Sequence[str], *, encrypted: bool
) -> bool:
    if not encrypted or one.scheme == "hp=clear" or not inside:
        return False
    return inside != (shown if one.outer is None else _texts(one.outer.get(key, ())))


def _expected(
    one: Found, key: str, inside: list[str], shown: list[str], *, encrypted: bool
) -> list[str]:
    """What the outside would say had nobody changed it."""
    if one.outer is not None:
        return _texts(one.outer.get(key, ()))
    # Older schemes do not tell what their author left outside; the Subject is what they hide.
    older = not one.scheme.startswith("hp=")
    return shown if older and encrypted and key == "subject" else inside


def _put(header: bytes, key: str, fields: bytes) -> bytes:
    """The header with these fields in place of those of that name."""
    existing = headers.every(header, key)
    place = existing[0].start if existing else len(header)
    before, after = header[:place], header[place:]
    if fields and before and not before.endswith(b"\n"):
        before += b"\r\n"
    return before + fields + headers.without(after, key)


def _cleaned(one: Found) -> tuple[bytes, Content]:
    """The payload as it was before it was prepared for sending.

    What large mail shows to old readers stays: nobody may write so into it either.
    """
    inner = parameter.removed(one.header, "hp")
    if one.body.size > protection.MAXIMUM_DISPLAYED:
        return inner, one.body
    whole = legacy_display.removed(inner + b"\r\n" + join(one.body), _lines(one))
    header, body = entity.split_header(whole)
    return header, Octets(body)


def _lines(one: Found) -> frozenset[str]:
    return frozenset(
        f"{field.name}: {text}"
        for fields in one.fields.values()
        for field, text in zip(fields, _texts(fields), strict=True)
    )


def _wrapped(header: bytes, forwarded: str, body: Content) -> Found | None:
    """RFC 8551 section 3.1, recognised as RFC 9788 section 4.10.1 tells.

    A message somebody forwards as a whole looks alike; so its author must be this one's.
    """
    inner, rest = entity.split(body)
    fields = _authored(inner)
    authors, shown = (
        _addresses(fields.get("from", ())),
        _addresses(_authored(header).get("from", ())),
    )
    if forwarded not in ("", "no") or not authors or _keys(authors) != _keys(shown):
        return None
    if headers.content_type(inner).get("hp") or _layer(inner, rest) is not None:
        return None
    return Found("message/rfc822", fields, None, inner, rest)


def _layer(header: bytes, body: Content) -> Layer | None:
    layer = layers.outermost(header, body)
    return layer if layer is not None and layer.whole else None


def _authored(header: bytes) -> dict[str, tuple[Field, ...]]:
    made: defaultdict[str, list[Field]] = defaultdict(list)
    for one in headers.fields(header):
        if protection.is_authored(one):
            made[one.name.lower()].append(one)
    return {key: tuple(several) for key, several in made.items()}


def _recorded(inner: bytes) -> dict[str, tuple[Field, ...]]:
    """RFC 9788 section 4.2.1: the outside as HP-Outer tells it."""
    records = headers.every(inner, protection.OUTER)
    return _authored(b"".join(one.value + b"\r\n" for one in records))


def _texts(fields: Sequence[Field]) -> list[str]:
    return [" ".join(one.text.split()) for one in fields]


def _addresses(fields: Sequence[Field]) -> tuple[Mailbox, ...]:
    return tuple(found for one in fields for found in headers.mailboxes(one.value))


def _keys(mailboxes: Sequence[Mailbox]) -> frozenset[str]:
    return frozenset(one.key for one in mailboxes)


def _said(keys: frozenset[str]) -> str:
    return ", ".join(sorted(keys)[:3]) or "nobody"


def _name(key: str, *where: Fields) -> str:
    known = {name.lower(): name for name in _SHOWN}
    return known.get(key) or next(fields[key][0].name for fields in where if fields.get(key))
