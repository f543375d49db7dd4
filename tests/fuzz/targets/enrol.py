"""What authorities and their customers send: CMP, EST, ACME and its mails, OCSP questions.

Invariant: a value, or an error the function names; nothing is taken for ours but the
certificate of the key that was asked for; what we answer by mail has our fields and no other.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast
from unittest import mock

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509 import ocsp
from tests.fuzz import choice, papers, people
from tests.fuzz.papers import NOW
from tests.pki_builder import User
from tests.unit.enrol.asking import request

from gatepost.cms import der
from gatepost.enrol import acme, acme_wire, carrier, cmp_protection, demand, receipt, status
from gatepost.enrol import cmp_message as wire
from gatepost.enrol.acme import Acme, Service
from gatepost.enrol.carrier import Answer, Carrier
from gatepost.enrol.cmp import Cmp
from gatepost.enrol.cmp_message import Thread
from gatepost.enrol.cmp_protection import Secret
from gatepost.enrol.est import Est
from gatepost.enrol.expectation import Expectation
from gatepost.enrol.profile import Issuer
from gatepost.enrol.source import Issued, Pending, Wanted
from gatepost.errors import Malformed, Refused, Unavailable, Unsupported
from gatepost.flow import challenge as mails
from gatepost.mail import field as codec
from gatepost.mail.address import Mailbox

BOB = "bob@example.net"
SECRET = Secret("gateway", "open sesame")
NONCE = bytes(16)
STATUSES = (200, 201, 202, 204, 400, 401, 403, 404, 429, 500, 503)
BASE = "https://ca.example"
DIRECTORY = {name: f"{BASE}/{name}" for name in ("newNonce", "newAccount", "newOrder")}
TOKEN = "DGyRejmCefe7v4NfDGDKfA"
CHALLENGE = mails.Challenge(
    Mailbox.parse(BOB), Mailbox.parse("acme@ca.example"), TOKEN, "thumbprint", "ca"
)

WORDS = (
    *(b"\xa0", b"\xa1", b"\x02\x01\x00", b"\x02\x01\x03", b"\x30\x80", b"\x84\xff\xff\xff\xff"),
    *(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07", b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"),
    *(b'"status":"pending"', b'"status":"valid"', b'"status":"ready"', b'"status":"invalid"'),
    *(b'"authorizations":["https://ca.example/a"]', b'"finalize":"https://ca.example/f"', b'"expires":"'),
    *(b'"certificate":"https://ca.example/c"', b'"0001-01-01T00:00:00+23:59"', b'"type":"email-reply-00"'),
    *(b'"urn:ietf:params:acme:error:rateLimited"', b'"detail":"', b"\\ud800", b'"error":{', b"[" * 50),
    *(b"Mon, 01 Jun 2026 12:00:00 +9999", b"ACME: ", b"Subject: ", b"To: bob@example.net\r\n", b"\n"),
    *(b"From: acme@ca.example\r\n", b"Auto-Submitted: auto-generated\r\n", b"Reply-To: ", b"Message-ID: <"),
)  # fmt: skip


def target(octets: bytes) -> None:
    """One input."""
    choice.read(READERS, octets)


def message(octets: bytes) -> None:
    """A message of CMP is believed as it was written by who knows the secret."""
    with suppress(Malformed):
        found = wire.read(octets)
        assert not found.is_from(SECRET, papers.everybody()) or found.protected in protected()


def conversation(octets: bytes) -> None:
    """An authority that proves itself says what it likes."""
    source = Cmp("cmp", cast("Carrier", Speaking(octets)), SECRET, entropy=bytes)
    begun(source.request(wanted(), NOW))


def enrolled(octets: bytes) -> None:
    """So does a server of EST."""
    source = Est("est", cast("Carrier", Web(octets)))
    begun(source.request(wanted(), NOW))


def begun(work: Coroutine[Any, Any, Issued | Pending]) -> None:
    """What comes of asking for Bob's certificate."""
    quick = mock.patch.object(cmp_protection, "ROUNDS", 10)
    with suppress(Refused, Unavailable), quick, mock.patch.object(asyncio, "to_thread", at_once):
        taken(finished(work))


def taken(found: Issued | Pending) -> None:
    """One for his key and address, or something that is waited for, not for ever."""
    if isinstance(found, Issued):
        assert receipt.key_of(found.chain[0]) == bob().certificate.key_info
        assert BOB in map(str.lower, found.chain[0].emails)
    else:
        assert found.again <= timedelta(days=31)
        assert found.waits_for.isprintable()


def wishes(octets: bytes) -> None:
    """What a server wants in a request."""
    with suppress(Malformed):
        demand.read(octets).lacking(wanted().request)


def directory(octets: bytes) -> None:
    """The directory of an authority that speaks ACME."""
    with suppress(Refused, Unavailable), answering([b"\0" + octets]):
        found = acme_wire.Wire(f"{BASE}/directory", account(), Path("/nowhere"))
        assert isinstance(found.terms, str)
        assert found.wants_binding in {True, False}


def order(octets: bytes) -> None:
    """An order of ACME, answer after answer."""
    right = json.dumps(DIRECTORY).encode()
    source = Acme("ca", Service(f"{BASE}/directory"), cast("Any", None), cast("Any", Waiting()))
    with (
        suppress(Refused, Unavailable, Unsupported),
        answering([b"\0" + right, *octets.split(b"\n")]),
    ):
        line = acme_wire.Wire(f"{BASE}/directory", account(), Path("/nowhere"))
        line.use(f"{BASE}/account")
        taken(source._placed(line, wanted(), acme._Order(ticket="t"), NOW))


def advice(octets: bytes) -> None:
    """When an authority would have a certificate renewed."""
    right = json.dumps({**DIRECTORY, "renewalInfo": f"{BASE}/r"}).encode()
    with suppress(Refused, Unavailable), answering([b"\0" + right, octets]):
        found = acme_wire.Wire(f"{BASE}/directory", account(), Path("/nowhere"))
        told = found.advice(bob().certificate)
        assert told.start < told.end
        assert told.again <= acme_wire.LATEST


def said(octets: bytes) -> None:
    """Small texts of authorities: when to come again, where to, and words for people."""
    text = octets.decode("latin-1")
    assert timedelta(0) <= acme_wire.later_by(text) <= acme_wire.LATEST
    later = carrier.wait(text, NOW)
    assert later is None or later >= timedelta(0)
    carrier._origin(text)
    for told in (carrier.shown(octets), acme_wire.plain(text)):
        assert told.isprintable()
        assert len(told) <= 300
    moment = acme._moment(text)
    assert moment is None or moment.tzinfo is UTC


def mail(octets: bytes) -> None:
    """A challenge mail, and the answer to it."""
    part = mails.token(octets)
    found = mails.fault(octets, (), CHALLENGE)
    mails.fault(octets, (), replace(CHALLENGE, proof=True, boundary="gw.example"))
    if part is None or found:
        return
    made = mails.response(part, octets, CHALLENGE, message_id="<1@gw.example>", now=NOW)
    header, _, body = made.content.partition(b"\r\n\r\n")
    names = [one.name for one in codec.fields(header + b"\r\n")]
    assert [one for one in names if one not in {"In-Reply-To", "References"}] == FIELDS
    assert mails.digest(part, CHALLENGE).encode() in body
    assert body.count(b"\r\n") == 3


FIELDS = [
    *("Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted"),
    *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
]


def question(octets: bytes) -> None:
    """Whoever asks gets an answer that can be read."""
    root = papers.everybody()[0]
    lend = lambda one: Issuer(one, cast("Any", people.authority().key))  # noqa: E731 - one line
    found = ocsp.load_der_ocsp_response(responder().answer(octets, (root,), lend, NOW))
    if found.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL:
        assert found.certificate_status is ocsp.OCSPCertStatus.UNKNOWN


READERS: tuple[choice.Reader, ...] = (
    message,
    conversation,
    enrolled,
    wishes,
    directory,
    order,
    said,
    mail,
    question,
    advice,
)


@dataclass
class Speaking:
    """A CMP server that knows the secret: the first octet says of what kind its answer is."""

    octets: bytes
    host = "ca.example"

    async def post(self, _path: str, body: bytes, kind: str) -> Answer:
        """An answer, then the receipt for our receipt."""
        asked = wire.read(body).thread
        answered = Thread(asked.transaction, NONCE, asked.nonce)
        first, octets = self.octets[:1] or b"\x17", self.octets[1:]
        self.octets = bytes((wire.PKI_CONF,)) + der.NULL
        made = wire.write(first[0] % 31, octets, answered, SECRET, x509.Name([]).public_bytes(), entropy=bytes, now=NOW)  # fmt: skip
        return Answer(200, kind, made)


@dataclass
class Web:
    """A server of EST whose answers stand one after the other, each after octets for its status."""

    octets: bytes
    host = "ca.example"

    async def get(self, path: str) -> Answer:
        """The next answer."""
        one, _, self.octets = self.octets.partition(b"\n\n")
        head, body = one[:1] or b"\0", one[1:]
        kind = "application/csrattrs" if path.endswith("csrattrs") else "application/pkcs7-mime"
        return Answer(STATUSES[head[0] % len(STATUSES)], kind, body, body[:40].decode("latin-1"))

    async def post(self, path: str, _body: bytes, _kind: str, **_fields: str) -> Answer:
        """The next answer."""
        return await self.get(path)


class Waiting:
    """Expectations of one order."""

    known = Expectation("t", "ca", 1 << 40)

    def of(self, _mailbox: Mailbox, _now: datetime) -> Expectation:
        """What is expected."""
        return self.known

    def settle(self, _mailbox: Mailbox, _ticket: str, **told: object) -> None:
        """It is known who will write."""
        json.dumps({**told, "until": 0}).encode()

    def end(self, _mailbox: Mailbox, _ticket: str) -> None:
        """It is over."""


def answering(answers: list[bytes]) -> Any:
    """A server of ACME: each answer's first octet is for its status."""
    left = itertools.chain(answers, itertools.repeat(b"\0{}"))

    def send(_session: object, asked: requests.PreparedRequest, **_: object) -> requests.Response:
        made = requests.Response()
        one = b"\0" if asked.method == "HEAD" else next(left)
        made.status_code = STATUSES[(one[:1] or b"\0")[0] % len(STATUSES)]
        made.raw, made.request, made.url = io.BytesIO(one[1:]), asked, str(asked.url)
        made.headers.update({"Replay-Nonce": "bm9uY2U", "Location": f"{BASE}/order"})
        made.headers["Retry-After"] = one[1:30].decode("latin-1")
        return made

    return mock.patch.object(requests.Session, "send", send)


async def at_once(work: Callable[..., Any], *given: Any) -> Any:
    """No thread."""
    return work(*given)


def finished(work: Coroutine[Any, Any, Issued | Pending]) -> Issued | Pending:
    """What comes of something that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("Issued | Pending", end.value)
    raise AssertionError("it waits")


def bob() -> User:
    """Whose certificate is asked for."""
    return people.person(BOB, "p256")


@cache
def wanted() -> Wanted:
    """What is asked for."""
    return Wanted(BOB, "both", request(BOB, "both", cast("ec.EllipticCurvePrivateKey", bob().key)))


@cache
def account() -> ec.EllipticCurvePrivateKey:
    """The key of an account."""
    return ec.derive_private_key(7, ec.SECP256R1())


@cache
def responder() -> status.Responder:
    """One that has issued nothing."""
    ledger = mock.Mock()
    ledger.find.return_value = ledger.issued.return_value = None
    return status.Responder(ledger, account)


def written(kind: int, body: bytes) -> bytes:
    """A message of CMP that is believed."""
    thread = Thread(NONCE, NONCE, NONCE)
    return wire.write(
        kind, body, thread, SECRET, x509.Name([]).public_bytes(), entropy=bytes, now=NOW
    )


@cache
def protected() -> frozenset[bytes]:
    """What has been written so."""
    return frozenset(wire.read(written(*one)).protected for one in spoken())


def spoken() -> Iterator[tuple[int, bytes]]:
    """Answers by kind: issued, waiting, refused, polled, an error."""
    zero, three = der.integer(0), der.integer(3)
    root = papers.everybody()[0].der
    pair = der.sequence(der.explicit(0, bob().certificate.der))
    reason = der.sequence(der.tlv(0x0C, b"no"))
    above = der.explicit(1, der.sequence(root))
    yield wire.CP, der.sequence(above, der.sequence(der.sequence(zero, der.sequence(zero), pair)))
    yield wire.CP, der.sequence(der.sequence(der.sequence(zero, der.sequence(three, reason))))
    yield wire.CP, der.sequence(der.sequence(der.sequence(zero, der.sequence(der.integer(2)))))
    yield wire.POLL_REP, der.sequence(der.sequence(zero, der.integer(60), reason))
    yield wire.ERROR, der.sequence(der.sequence(der.integer(2), reason, der.tlv(0x03, b"\0\4")))
    yield wire.PKI_CONF, der.NULL


def orders() -> Iterator[bytes]:
    """What an authority says of an order, line by line."""
    places = {"authorizations": [f"{BASE}/a"], "finalize": f"{BASE}/f", "certificate": f"{BASE}/c"}
    expires = {"expires": "2026-06-02T12:00:00Z"}
    waiting = {"status": "pending", **places, **expires}
    one = {
        "type": acme.CHALLENGE,
        "status": "pending",
        "url": f"{BASE}/x",
        "token": TOKEN,
        "from": "acme@ca.example",
    }
    wrong = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "no"}
    pem = (bob().certificate.pem + papers.everybody()[0].pem).encode().replace(b"\n", b"\r")
    for answers in (
        (waiting, {"status": "pending", "challenges": [one]}),
        (
            waiting,
            {"status": "invalid", "challenges": [{**one, "status": "invalid", "error": wrong}]},
        ),
        ({"status": "ready", **places}, {"status": "valid", **places}),
        ({"status": "invalid", "error": wrong, **places},),
    ):
        lines = [b"\1" + json.dumps(each).encode() for each in answers]
        yield b"\n".join((*lines, b"\0" + pem))
    yield b"\7" + json.dumps(wrong).encode()


def letters() -> Iterator[bytes]:
    """Challenge mails, right and nearly so."""
    right = (
        f"From: <acme@ca.example>\r\nTo: <{BOB}>\r\nSubject: ACME: {TOKEN}\r\n"
        "Auto-Submitted: auto-generated; type=acme\r\nMessage-ID: <a@ca.example>\r\n"
        "Reply-To: answers@ca.example\r\n"
        "Authentication-Results: gw.example; dkim=pass header.d=ca.example\r\n"
    )
    yield right.encode()
    yield right.replace(TOKEN, f"=?utf-8?q?{TOKEN}?=").replace("\r\nTo", "\r\n \r\nTo").encode()


def questions() -> Iterator[bytes]:
    """Questions of OCSP."""
    builder = ocsp.OCSPRequestBuilder()
    asked = builder.add_certificate(
        bob().certificate.x509, papers.everybody()[0].x509, hashes.SHA256()
    )
    yield asked.build().public_bytes(Encoding.DER)
    nonce = asked.add_extension(x509.OCSPNonce(b"nonce"), critical=False)
    yield nonce.build().public_bytes(Encoding.DER)


ADVICE = {
    "suggestedWindow": {"start": "2026-06-01T00:00:00Z", "end": "2026-06-02T00:00:00Z"},
    "explanationURL": "https://ca.example/why",
}


def seeds() -> Iterator[bytes]:
    """What authorities say that mean well."""
    bag = pkcs7.serialize_certificates(
        [bob().certificate.x509, papers.everybody()[0].x509], Encoding.DER
    )
    wish = der.sequence(
        der.oid("1.2.840.113549.1.9.7"),
        der.sequence(der.oid("1.2.840.10045.2.1"), der.set_of(der.oid("1.3.132.0.34"))),
        der.sequence(der.oid("1.2.840.113549.1.1.1"), der.set_of(der.integer(3072))),
        der.sequence(der.oid("1.2.840.113549.1.9.14"), der.set_of(der.oid("2.5.29.17"))),
    )
    yield from choice.sown(
        READERS,
        {
            message: [written(*one) for one in spoken()],
            conversation: [bytes((kind,)) + body for kind, body in spoken()],
            enrolled: [
                b"\3\n\n\0" + bag + b"\n\n\0" + bag,
                b"\0" + wish + b"\n\n\0" + bag,
                b"\3\n\n\0" + bag + b"\n\n\2" + b"120",
            ],
            wishes: [wish, b""],
            directory: [
                json.dumps(
                    {
                        **DIRECTORY,
                        "meta": {"termsOfService": "https://a/", "externalAccountRequired": True},
                    }
                ).encode()
            ],
            order: orders(),
            said: [
                b"120",
                b"Mon, 01 Jun 2026 12:00:00 GMT",
                b"2026-06-01T12:00:00Z",
                b"https://a:1/",
            ],
            mail: letters(),
            question: questions(),
            advice: [b"\0" + json.dumps(ADVICE).encode()],
        },
    )
