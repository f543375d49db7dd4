"""X-Gatepost-Trace: the field by which we know our own mail when it comes round again.

One HMAC for each recipient, over way, outcome, time, return path, every field a person
reads and the body.  Whoever lacks the key cannot make one, and one that was seen fits no
other mail, way or recipient, nor any later week.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gatepost.mail.address import Mailbox
from gatepost.mail.envelope import Recipient
from gatepost.mail.field import compose, every, spans, unfolded
from gatepost.mail.message import Message
from gatepost.mail.trace import claimed

NAME = "X-Gatepost-Trace"
LIFETIME = timedelta(days=5)  # as long as mail may wait at a next hop (RFC 5321 4.5.4.1)
SKEW = timedelta(minutes=5)  # between the clocks of our nodes
MAXIMUM_RECIPIENTS = 128  # of more the field names none: their mail is treated anew
MAXIMUM_FIELDS = 4  # looked at
_LEAST = 8  # tags in every field: how many blind recipients there are is nobody's business
_TAG = 12  # octets

# What decides how a message reads, and where answers go.
_SHOWN = (
    b"from",
    b"sender",
    b"reply-to",
    b"to",
    b"cc",
    b"subject",
    b"date",
    b"message-id",
    b"in-reply-to",
    b"references",
    b"resent-from",
    b"resent-to",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
    b"content-disposition",
)
_WRITTEN = re.compile(
    rb"1; way=([a-z]+); done=([a-z+]+); at=([0-9]{1,12}); id=([0-9A-Za-z.\-]{1,64});"
    rb" by=([0-9A-Za-z.\-_:\[\]]{1,255}); for=((?: [0-9A-Za-z_\-]{16})*)\Z"
)

Mac = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Voucher:
    """What a field says, once it is proven: what we did to the message, when, and which of us."""

    way: str
    done: str
    at: int  # seconds since 1970
    id: str  # queue id
    by: str  # host name


def vouch(
    message: Message,
    voucher: Voucher,
    mac: Mac,
    entropy: Callable[[int], bytes],
) -> bytes:
    """The field for a message as it stands."""
    members = message.envelope.recipients
    if len(members) > MAXIMUM_RECIPIENTS:
        members = ()
    digest = _digest(message, voucher)
    tags = [_tag(mac, digest, one.mailbox) for one in members]
    padding = (_padded(len(tags)) - len(tags)) if tags else 0
    noise = entropy(_TAG * padding)
    tags += [_written(noise[at : at + _TAG]) for at in range(0, len(noise), _TAG)]
    said = (
        f"1; way={voucher.way}; done={voucher.done}; at={voucher.at}; id={voucher.id};"
        f" by={voucher.by}; for="
    )
    return compose(NAME, " ".join((said.rstrip(), *sorted(tags))).encode("ascii", "replace"))


def proven(
    message: Message, mac: Mac, now: datetime
) -> tuple[Voucher, tuple[Recipient, ...]] | None:
    """The field that is ours and fits, and the recipients it speaks of; None: there is none."""
    for field in every(message.header, NAME)[:MAXIMUM_FIELDS]:
        found = _parse(field.value)
        if found is None or not _counts(found[0], message, now):
            continue
        voucher, tags = found
        digest = _digest(message, voucher)
        members = tuple(
            one
            for one in message.envelope.recipients
            if _is_among(_tag(mac, digest, one.mailbox), tags)
        )
        if members:
            return voucher, members
    return None


def _parse(value: bytes) -> tuple[Voucher, tuple[str, ...]] | None:
    match = _WRITTEN.match(b" ".join(value.split()))
    if match is None:
        return None
    way, done, at, id_, by, tags = (one.decode("ascii") for one in match.groups())
    listed = tuple(tags.split())
    if len(listed) > MAXIMUM_RECIPIENTS:
        return None
    return Voucher(way, done, int(at), id_, by), listed


def _counts(voucher: Voucher, message: Message, now: datetime) -> bool:
    age = now.timestamp() - voucher.at  # which may name a year that no calendar has
    is_timely = -SKEW.total_seconds() <= age <= LIFETIME.total_seconds()
    return is_timely and voucher.way == message.direction.value


def _digest(message: Message, voucher: Voucher) -> bytes:
    """What all tags of one field are over, each part with its length before it."""
    path = message.envelope.return_path
    parts = [
        b"gatepost trace 1",
        *(str(one).encode() for one in (voucher.way, voucher.done, voucher.at, voucher.id)),
        voucher.by.encode(),
        path.key.encode() if path else b"",
    ]
    shown: dict[bytes, list[bytes]] = {name: [] for name in _SHOWN}
    for name, start, stop in spans(message.header):  # one look at a long header, not one a name
        if (listed := shown.get(name)) is not None:
            listed.append(unfolded(message.header[start:stop]))
    for name, values in shown.items():
        parts += [_canonical(name, value) for value in values]
    # Our results are believed by whoever reads them: not one may be added to what we vouch for.
    parts += [_canonical(b"results", one.value) for one in claimed(message.header, voucher.by)]
    body = hashlib.sha256()
    for chunk in message.body.chunks():
        body.update(chunk)
    parts.append(body.digest())
    return hashlib.sha256(
        b"".join([piece for part in parts for piece in (len(part).to_bytes(8, "big"), part)])
    ).digest()


def _canonical(name: bytes, value: bytes) -> bytes:
    """Folding and white space may change on the way (as in RFC 6376 section 3.4.2)."""
    return name + b":" + b" ".join(value.split())


def _tag(mac: Mac, digest: bytes, mailbox: Mailbox) -> str:
    return _written(mac(digest + mailbox.key.encode())[:_TAG])


def _written(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode("ascii")


def _is_among(tag: str, tags: tuple[str, ...]) -> bool:
    return sum(hmac.compare_digest(tag, one) for one in tags) > 0


def _padded(count: int) -> int:
    """The next power of two, at least `_LEAST`."""
    return max(_LEAST, 1 << (count - 1).bit_length())
