"""What a server may do to an ACME client: limit it, forget it, lie to it, send too much."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from josepy import b64
from tests.pki_builder import company
from tests.unit.enrol.test_acme import wanted
from tests.unit.route.people import card

from gatepost.certificate import Certificate
from gatepost.enrol import acme, acme_wire
from gatepost.enrol.acme import FAULTS, TRIES, Acme, Service
from gatepost.enrol.acme_account import Accounts
from gatepost.enrol.acme_renewal import certificate_id
from gatepost.enrol.acme_wire import later_by, plain
from gatepost.enrol.expectation import Expectations
from gatepost.enrol.source import Advice, Pending
from gatepost.errors import GatepostError, Refused, Unavailable
from gatepost.mail.address import Mailbox
from gatepost.store.directory import Directory
from gatepost.vault.keys import Vault

ALICE = "alice@example.com"
TOKEN = "DGyRejmCefe7v4NfDGDKfA"


@dataclass
class Answer:
    """One answer of the server."""

    data: object
    status: int = 200
    fields: dict[str, str] = field(default_factory=dict)


def problem(code: str, status: int = 400, **fields: str) -> Answer:
    """RFC 8555 section 6.7."""
    data = {"type": f"urn:ietf:params:acme:error:{code}", "detail": f"no\n{code}"}
    return Answer(data, status, {name.replace("_", "-"): value for name, value in fields.items()})


@dataclass
class Server:
    """An ACME server that checks nothing and says what the test wants said, else what is right."""

    folder: Path
    instead: dict[str, list[Answer]] = field(default_factory=dict)  # in order, the last stays
    asked: list[str] = field(default_factory=list)
    ordered: list[bytes] = field(default_factory=list)  # bodies of orders

    def start(self) -> None:
        now = datetime.now(UTC)
        root = card("Root", ca=True, now=now)
        leaf = card("localhost", issuer=root, now=now)
        self.anchors = self.folder / "root.pem"
        self.anchors.write_bytes(root.pem)
        (self.folder / "leaf.pem").write_bytes(leaf.pem + leaf.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "leaf.pem")
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.http.daemon_threads = True
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def base(self) -> str:
        return f"https://localhost:{self.http.server_address[1]}"

    def answer(self, path: str) -> Answer:
        self.asked.append(path)
        said = self.instead.get(path)
        if said:
            return said.pop(0) if len(said) > 1 else said[0]
        return self.right(path)

    def right(self, path: str) -> Answer:
        base = self.base
        places = {name: f"{base}/{name}" for name in ("newNonce", "newAccount", "newOrder")}
        found: dict[str, Answer] = {
            "/directory": Answer(places),
            "/newNonce": Answer({}),
            "/newAccount": Answer({"status": "valid"}, 201, {"Location": f"{base}/account"}),
            "/newOrder": Answer(self.order("pending"), 201, {"Location": f"{base}/order"}),
            "/order": Answer(self.order("pending")),
            "/authz": Answer(self.authorization("pending")),
            "/challenge": Answer({"type": "email-reply-00", "status": "processing"}),
        }
        return found.get(path, Answer({}, 404))

    def order(self, status: str, **more: object) -> dict[str, object]:
        authorizations = [f"{self.base}/authz"]
        finalize = f"{self.base}/finalize"
        return {"status": status, "authorizations": authorizations, "finalize": finalize, **more}

    def authorization(self, status: str, **more: object) -> dict[str, object]:
        challenge = {
            "type": "email-reply-00",
            "status": status,
            "url": f"{self.base}/challenge",
            "token": TOKEN,
            "from": "acme@ca.example",
            **more,
        }
        return {"status": status, "challenges": [{"type": "other-01"}, challenge]}


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/newOrder":
                server.ordered.append(body)
            said = server.answer(self.path)
            octets = said.data if isinstance(said.data, bytes) else json.dumps(said.data).encode()
            self.send_response(said.status)
            for name, value in {"Replay-Nonce": "bm9uY2U", **said.fields}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(octets)

        do_POST = do_HEAD = do_GET  # noqa: N815  the library's names

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.start()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def source(server: Server, directory: Directory, vault: Vault) -> Acme:
    service = Service(f"{server.base}/directory", anchors=server.anchors)
    accounts = Accounts(directory, vault)
    return Acme("ca", service, accounts, Expectations(directory.register), timedelta(0))


async def ordered(source: Acme, now: datetime) -> Pending:
    """An order; nothing of it is left where there is none."""
    found = await source.request(wanted(ALICE), now)
    assert isinstance(found, Pending)
    return found


async def answered(source: Acme, now: datetime) -> Pending:
    """An order whose mail came and was answered."""
    found = await ordered(source, now)
    mailbox = Mailbox.parse(ALICE)
    known = source.expectations.of(mailbox, now)
    assert known is not None
    assert source.expectations.claim(mailbox, known.ticket, "mark", now)
    return found


async def collected(source: Acme, state: str, now: datetime) -> Pending:
    found = await source.collect(wanted(ALICE), state, now)
    assert isinstance(found, Pending)
    return found


async def test_the_stub_is_right(source: Acme, server: Server, now: datetime) -> None:
    """Everything below fails for another reason than the one that is meant."""
    found = await answered(source, now)
    assert found.waits_for == f"the challenge mail of acme@ca.example to {ALICE}"
    found = await collected(source, found.state, now)
    assert found.waits_for == f"{server.base[8:]} to read the answer"
    assert server.asked.count("/challenge") == 1
    assert server.asked.count("/newAccount") == 1


async def test_a_bad_nonce_is_replaced(source: Acme, server: Server, now: datetime) -> None:
    """An order fails because the server was started anew (RFC 8555 section 6.5)."""
    server.instead["/newOrder"] = [problem("badNonce"), server.right("/newOrder")]
    assert (await ordered(source, now)).state
    server.instead["/order"] = [problem("badNonce")]
    with pytest.raises(Unavailable, match="badNonce"):
        await collected(source, (await again(source, now)).state, now)


async def again(source: Acme, now: datetime) -> Pending:
    """Another order, whose mail was answered."""
    known = source.expectations.of(Mailbox.parse(ALICE), now)
    assert known is not None
    source.expectations.end(Mailbox.parse(ALICE), known.ticket)
    return await answered(source, now)


async def test_limits_are_kept(source: Acme, server: Server, now: datetime) -> None:
    """An authority that asks for patience is asked ever faster, and shuts us out."""
    server.instead["/newOrder"] = [problem("rateLimited", 429, Retry_After="7200")]
    found = await ordered(source, now)
    assert found.again == timedelta(hours=2)
    assert found.waits_for.endswith("no rateLimited (rateLimited)")
    del server.instead["/newOrder"]
    found = await collected(source, found.state, now)  # the order can be placed now
    assert found.waits_for.startswith("the challenge mail")
    server.instead["/order"] = [problem("rateLimited", 429, Retry_After="60")]
    found = await again(source, now)
    limited = await collected(source, found.state, now)
    assert (limited.state, limited.again) == (found.state, timedelta(minutes=1))


async def test_a_server_in_trouble_is_asked_again(
    source: Acme, server: Server, now: datetime
) -> None:
    """An outage ends an order as a refusal does."""
    server.instead["/newOrder"] = [problem("serverInternal", 500)]
    with pytest.raises(Unavailable, match="no serverInternal"):
        await ordered(source, now)
    server.instead["/newOrder"] = [Answer(b"<html>gateway timeout</html>", 504)]
    with pytest.raises(Unavailable, match="does not speak ACME as expected: 504"):
        await ordered(source, now)
    del server.instead["/newOrder"]
    assert (await ordered(source, now)).state


async def test_an_account_the_server_forgot_is_made_anew(
    source: Acme, server: Server, now: datetime
) -> None:
    """After the authority moved to another machine no order is taken any more."""
    await ordered(source, now)
    source.expectations.end(Mailbox.parse(ALICE), _ticket(source, now))
    server.instead["/newOrder"] = [problem("accountDoesNotExist"), server.right("/newOrder")]
    with pytest.raises(Unavailable, match="accountDoesNotExist"):
        await ordered(source, now)
    assert (await ordered(source, now)).state
    assert server.asked.count("/newAccount") == 2


def _ticket(source: Acme, now: datetime) -> str:
    known = source.expectations.of(Mailbox.parse(ALICE), now)
    assert known is not None
    return known.ticket


async def test_an_order_in_work_is_waited_for(source: Acme, server: Server, now: datetime) -> None:
    """An authority that takes its time is asked too soon, or given up."""
    found = await answered(source, now)
    server.instead["/order"] = [Answer(server.order("ready"))]
    server.instead["/finalize"] = [Answer(server.order("processing"), 200, {"Retry-After": "900"})]
    found = await collected(source, found.state, now)
    assert found.again == timedelta(minutes=15)
    assert "to issue the certificate" in found.waits_for


async def test_an_order_that_failed_says_why(source: Acme, server: Server, now: datetime) -> None:
    """An administrator hears "failed" and nothing else."""
    found = await answered(source, now)
    failed = {"type": "urn:x:caa", "detail": "CAA forbids\n it"}
    server.instead["/order"] = [Answer(server.order("invalid", error=failed))]
    with pytest.raises(Refused, match="gave the order up: CAA forbids it"):
        await collected(source, found.state, now)
    assert source.expectations.of(Mailbox.parse(ALICE), now) is None


async def test_an_answer_not_accepted_is_given_anew(
    source: Acme, server: Server, now: datetime
) -> None:
    """One greylisted answer, and an administrator has to order by hand; or it goes on for ever."""
    found, why = await answered(source, now), "gave the order up: no DKIM"
    for failed in range(1, TRIES):
        told = server.authorization("invalid", error={"detail": "no DKIM"})
        server.instead = {"/order": [Answer(server.order("invalid"))], "/authz": [Answer(told)]}
        found = await collected(source, found.state, now)
        assert found.waits_for == f"another order to be placed: {server.base[8:]} {why}"
        assert found.again == timedelta(hours=failed)
        server.instead = {}
        found = await collected(source, found.state, now)
        known = source.expectations.of(Mailbox.parse(ALICE), now)
        assert known is not None
        assert source.expectations.claim(Mailbox.parse(ALICE), known.ticket, "mark", now)
    server.instead = {"/order": [Answer(server.order("invalid"))], "/authz": [Answer(told)]}
    with pytest.raises(Refused, match=why):
        await collected(source, found.state, now)


Change = Callable[[Server], None]


def says(path: str, data: object, status: int = 200, **fields: str) -> Change:
    """The server says something else."""
    return lambda server: server.instead.update({path: [Answer(data, status, fields)]})


def challenges(**more: object) -> Change:
    """The challenge is another."""
    return lambda server: says("/authz", server.authorization("pending", **more))(server)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (says("/directory", b"<html>"), "does not speak ACME as expected"),
        (says("/directory", []), "does not speak ACME as expected"),
        (says("/directory", {"meta": 7}), "does not speak ACME as expected"),
        (says("/directory", b"[" * 100_000), "does not speak ACME as expected"),
        (says("/directory", {"newNonce": "https://x"}), 'field "newAccount" not found'),
        (says("/directory", dict.fromkeys(("newNonce", "newAccount", "newOrder"), "http://x")), "is no https URL"),
        (says("/directory", b"x" * (acme_wire.LARGEST + 1)), "more than 1048576 octets"),
        (says("/directory", {}, 302, Location="http://localhost:1/"), "over HTTPS only"),
        (says("/directory", {}, 302, Location="/directory"), "redirects"),
        (says("/newAccount", {"status": "valid"}, 201), "does not say where our account is"),
        (says("/newOrder", []), "no object"),
        (says("/newOrder", {"status": "pending"}), "does not say where its order is"),
        (says("/newOrder", {"status": "odd\n"}, Location="https://x/order"), "an order is 'odd"),
        (says("/newOrder", {"status": "pending", "authorizations": [1]}, Location="https://x/o"), "is no https URL"),
        (says("/newOrder", {"status": "pending", "authorizations": 5}, Location="https://x/o"), "has not one authorization"),
        (says("/newOrder", {"status": "valid"}, Location="https://x/o"), "does not say where to certificate"),
        (says("/newOrder", {"status": "pending"}, Location="http://x/o"), "is no https URL"),
        (challenges(token="c2hvcnQ"), "fewer than 128 bits"),
        (challenges(token=5), "fewer than 128 bits"),
        (challenges(**{"from": "nobody"}), "does not say who will write"),
        (challenges(**{"from": 5}), "does not say who will write"),
        (challenges(**{"from": "\ud800@x"}), "does not say who will write"),
        (challenges(type="dns-01"), "offers no challenge by mail"),
    ],
)  # fmt: skip
async def test_a_server_that_speaks_otherwise(
    source: Acme, server: Server, now: datetime, change: Change, why: str
) -> None:
    """A broken server, or one in an attacker's hands, stops the enrolment of everybody."""
    change(server)
    with pytest.raises((Unavailable, Refused)) as error:
        await ordered(source, now)
    assert why in str(error.value)
    assert "\n" not in str(error.value)
    assert source.expectations.of(Mailbox.parse(ALICE), now) is None


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:00:00-23:59", "", 7])
def test_moments_beyond_the_calendar(text: object) -> None:
    """An order that ends outside of our calendar ends the enrolment of everybody."""
    assert acme._moment(text) is None


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("120", timedelta(minutes=2)),
        ("99999999999999999999", acme_wire.LATEST),
        ("Mon, 01 Jan 1990 00:00:00 GMT", timedelta(0)),
        ("Fri, 01 Jan 2500 00:00:00 GMT", acme_wire.LATEST),
        ("soon", timedelta(hours=1)),
        ("", timedelta(hours=1)),
        ("-5", timedelta(hours=1)),
        ("Mon, 01 Jan 2020 00:00:00 +99999999999999", timedelta(hours=1)),
        ("Mon, 01 Jan 2020 9999999999999999999999:00:00 GMT", timedelta(hours=1)),
    ],
)
def test_how_long_to_wait(text: str, wait: timedelta) -> None:
    """A server's odd answer keeps us away for ever, or has us ask without end."""
    assert later_by(text) == wait


def test_a_strangers_words_are_one_line() -> None:
    """A server writes lines of its own into the log."""
    assert plain("a\r\nlevel=error \x1b[31mb" + "c" * 5000).startswith("a level=error [31mbccc")
    assert len(plain("c" * 5000)) == 300


async def test_what_a_directory_says_of_itself(server: Server, source: Acme, now: datetime) -> None:
    """The check of CAA records fails at a server that says strange things of itself."""
    places = server.right("/directory").data
    assert isinstance(places, dict)
    for said, found in (
        (["ca.example", 7, "mail.ca.example"], ("ca.example", "mail.ca.example")),
        (["a\nb"], ("a b",)),
        ("ca.example", ()),
        ([f"{one}.example" for one in range(30)], tuple(f"{one}.example" for one in range(20))),
    ):
        server.instead["/directory"] = [Answer({**places, "meta": {"caaIdentities": said}})]
        assert await source.identities(now) == found
    server.instead["/directory"] = [Answer(b"not here", 404)]
    with pytest.raises(Unavailable, match="does not speak ACME as expected: 404"):
        await source.answers(now)


async def test_our_account_is_there(server: Server, source: Acme, now: datetime) -> None:
    """Terms that changed since stop an account that was made long ago."""
    await source.request(wanted(ALICE), now)
    places = server.right("/directory").data
    assert isinstance(places, dict)
    meta = {"termsOfService": "https://ca.example/new"}
    server.instead["/directory"] = [Answer({**places, "meta": meta})]
    assert (await source.answers(now)).endswith("speaks ACME; our account is there")


def advised(server: Server, answer: Answer, which: Certificate) -> None:
    """Have it say when to renew a certificate."""
    places = server.right("/directory").data
    assert isinstance(places, dict)
    server.instead["/directory"] = [Answer({**places, "renewalInfo": f"{server.base}/ari"})]
    server.instead[f"/ari/{certificate_id(which)}"] = [answer]


def window(start: str, end: str) -> dict[str, object]:
    return {"suggestedWindow": {"start": start, "end": end}}


WINDOW = window("2031-01-02T04:00:00Z", "2031-01-03T04:00:00+01:00")


@pytest.mark.parametrize(
    ("fields", "again"),
    [
        ({"Retry-After": "21600"}, timedelta(hours=6)),
        ({}, timedelta(hours=6)),
        ({"Retry-After": "1"}, timedelta(minutes=1)),
        ({"Retry-After": "999999999"}, timedelta(days=1)),
        ({"Retry-After": "soon"}, timedelta(hours=6)),
    ],
)
async def test_when_to_renew(
    server: Server, source: Acme, now: datetime, fields: dict[str, str], again: timedelta
) -> None:
    """RFC 9773: the authority is asked without end, or its window is read an hour off."""
    one = company().user("alice@example.com", kind="p256").certificate
    advised(
        server, Answer({**WINDOW, "explanationURL": "https://ca.example/why"}, 200, fields), one
    )
    found = await source.advice([one], now)
    start = datetime(2031, 1, 2, 4, tzinfo=UTC)
    assert found == {
        one: Advice(start, start + timedelta(hours=23), again, "https://ca.example/why")
    }


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(window("2031-01-03T04:00:00Z", "2031-01-02T04:00:00Z")), "ends before it begins"),
        (Answer(window("yesterday", "tomorrow")), "does not speak ACME as expected"),
        (Answer({}), "does not speak ACME as expected"),
        (Answer([]), "does not speak ACME as expected"),
        (Answer({"suggestedWindow": 7}), "does not speak ACME as expected"),
        (Answer(b"\xff"), "does not speak ACME as expected"),
        (problem("malformed", 404), "no malformed"),
        (problem("serverInternal", 500), "no serverInternal"),
    ],
)
async def test_useless_advice(
    server: Server, source: Acme, now: datetime, answer: Answer, told: str
) -> None:
    """What an authority says of one certificate keeps all others from being renewed in time."""
    one = company().user("alice@example.com", kind="p256").certificate
    other = company().user("bob@example.com", kind="p256").certificate
    advised(server, answer, one)
    advised(server, Answer(WINDOW), other)
    found = await source.advice([one, other], now)
    fault = found[one]
    assert isinstance(fault, GatepostError)
    assert told in str(fault)
    assert isinstance(found[other], Advice)


async def test_no_advice(server: Server, source: Acme, now: datetime) -> None:
    """An authority that says nothing, or is in trouble, is asked about everybody in a row."""
    people = [company().user(f"{n}@example.com", kind="p256").certificate for n in range(6)]
    assert await source.advice(people, now) == {}
    for one in people:
        advised(server, problem("serverInternal", 500), one)
    assert len(await source.advice(people, now)) == FAULTS
    odd = Certificate.from_der(card("Odd").der)  # names no key of its authority
    assert isinstance((await source.advice([odd], now))[odd], Refused)


@pytest.mark.parametrize("url", ["http://ca.example/", "https://a b", "https://" + "a" * 500, 7])
async def test_no_strange_explanation(
    server: Server, source: Acme, now: datetime, url: object
) -> None:
    """A stranger's text stands in the log as something to be opened."""
    one = company().user("alice@example.com", kind="p256").certificate
    advised(server, Answer({**WINDOW, "explanationURL": url}), one)
    found = (await source.advice([one], now))[one]
    assert isinstance(found, Advice)
    assert found.explanation == ""


def test_the_name_of_a_certificate() -> None:
    """RFC 9773 section 4.1, its own example: the authority knows no such certificate."""
    key = bytes.fromhex("69885b6b87464041e1b37b847ba0ae2cde01c8d4")
    above = x509.AuthorityKeyIdentifier(key, None, None)
    serial = 0x87654321
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    made = (
        x509.CertificateBuilder(name, name, private.public_key(), serial)
        .not_valid_before(datetime(2030, 1, 1))  # noqa: DTZ001  as the builder takes it
        .not_valid_after(datetime(2031, 1, 1))  # noqa: DTZ001  as above
        .add_extension(above, critical=False)
        .sign(private, hashes.SHA256())
    )
    found = certificate_id(Certificate.from_x509(made))
    assert found == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


async def test_what_is_replaced(server: Server, source: Acme, now: datetime) -> None:
    """RFC 9773 section 5: a renewal counts as another certificate, or is refused as such."""
    old = company().user("alice@example.com", kind="p256").certificate
    advised(server, Answer(WINDOW), old)
    asked = replace(wanted(ALICE), replacing=old)
    right = server.right("/newOrder")
    server.instead["/newOrder"] = [problem("alreadyReplaced", 409), right]
    assert isinstance(await source.request(asked, now), Pending)
    assert server.asked.count("/newOrder") == 2
    bodies = [json.loads(b64.b64decode(json.loads(one)["payload"])) for one in server.ordered]
    assert bodies[0]["replaces"] == certificate_id(old)
    assert "replaces" not in bodies[1]
