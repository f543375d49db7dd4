"""Checks that talk SMTP: our own listeners, the next hops, and an attempt to relay."""

from __future__ import annotations

import errno
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gatepost.admin.check.registry import Answer, Installation, bad, check, good, skip, warn
from gatepost.config import Endpoint, Listener, Relay
from gatepost.net.tls import client_context

PATIENCE = 5.0  # seconds for a connection and for each reply
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}  # noqa: S104  to connect to
_WHOSE = "ss -ltnp shows who has the port; stop that program, or choose another bind address"
_NOWHERE = "ip address lists this machine's addresses: take one of them; 0.0.0.0 is all of IPv4"
# RFC 2606: names nobody owns.
STRANGER = "stranger@relay-check.invalid"
ELSEWHERE = "somebody@elsewhere.invalid"


@check("PRT-01", "listeners answer or can be opened")
def answer(place: Installation) -> Iterator[Answer]:
    """Connects to each listener; if nobody answers, tries whether the address could be bound.

    A port taken by another program is a fault; a gateway that is not running is a warning.
    """
    for listener in place.right.listener:
        yield _listener(listener, place.right.gateway.hostname)


@check("HOP-01", "next hops answer")
def hops_answer(place: Installation) -> Iterator[Answer]:
    """Greets each next hop as delivery would, with the TLS its settings ask for, and says QUIT.

    No mail is sent. Mail for a hop that does not answer waits in the queue.
    """
    for name, hop in _hops(place):
        if hop.mx:
            yield good(f"{name} goes to {hop}; gatepost route DOMAIN --connect tries one's")
            continue
        yield _hop(name, hop, place.right.gateway.hostname)


@check("RLY-01", "no open relay")
def is_no_relay(place: Installation) -> Iterator[Answer]:
    """Asks each running listener to take mail for a stranger: from a stranger, and as one of ours.

    It comes from this machine's outward address where the listener has one, as strangers
    do. The listener must refuse at RCPT. The test ends there; no mail is sent.
    """
    ours = place.right.gateway.postmaster_address
    for listener in place.right.listener:
        yield _relays(listener, place.right.gateway.hostname, ours)


def _listener(listener: Listener, helo: str) -> Answer:
    where = f"{listener.label} at {listener.bind}"
    if listener.bind.port == 0:
        return good(f"{where} takes any free port")
    try:
        with _session(listener.bind, helo) as session:
            name, offers_tls = _name(session), session.has_extn("starttls")
    except ConnectionRefusedError:
        return _bindable(listener.bind, where)
    except (OSError, smtplib.SMTPException) as error:
        return bad(f"{where} does not answer as a mail server: {_said(error)}", _WHOSE)
    if name != helo:
        return bad(
            f"{where} is taken by another mail server, {name or 'which tells no name'}",
            "stop that one, or choose another bind address",
        )
    if listener.tls != "off" and not offers_tls:
        return bad(f"{where} answers but offers no STARTTLS", "restart the gateway, see TLS-01")
    return good(f"{where} answers")


def _bindable(bind: Endpoint, where: str) -> Answer:
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind.host, bind.port))
        except PermissionError:
            fix = "give the service CAP_NET_BIND_SERVICE or take a port above 1023"
            return bad(f"{where} may not be opened by this user", fix)
        except OSError as error:
            fix = _WHOSE if error.errno == errno.EADDRINUSE else _NOWHERE
            return bad(f"{where} cannot be opened: {error.strerror}", fix)
    return warn(f"{where} is free: the gateway is not running", "gatepost serve starts it")


def _hops(place: Installation) -> Iterator[tuple[str, Relay]]:
    hops = place.right.next_hop
    seen: set[str] = set()
    for name, hop in (
        ("inbound", hops.inbound),
        ("outbound", hops.outbound),
        *((route.domain, route) for route in place.right.route),
    ):
        if hop is not None and str(hop) not in seen:
            seen.add(str(hop))
            yield name, hop


def _hop(name: str, hop: Relay, helo: str) -> Answer:
    where = f"{name} {hop}"
    try:
        with _session(Endpoint(hop.host, hop.port), helo) as session:
            if not session.has_extn("starttls"):
                if hop.tls in {"required", "verified", "dane"}:
                    return bad(f"{where} offers no STARTTLS, tls is {hop.tls}", "see [next_hop]")
                return good(f"{where} answers, in clear text")
            if hop.tls == "none":
                return good(f"{where} answers; its STARTTLS is not used (tls is none)")
            return _tls(where, hop, session)
    except (OSError, smtplib.SMTPException) as error:
        fix = f"start the server there, or change its address; nc {hop.host} {hop.port} shows more"
        return bad(f"{where} does not answer: {_said(error)}", fix)


def _tls(where: str, hop: Relay, session: smtplib.SMTP) -> Answer:
    context = client_context(verify=hop.tls == "verified", anchors=str(hop.tls_ca or ""))
    session._host = hop.tls_name or hop.host  # type: ignore[attr-defined]  # noqa: SLF001  the name smtplib verifies
    try:
        session.starttls(context=context)
    except ssl.SSLCertVerificationError as error:
        return bad(f"{where}: {error.verify_message}", "see tls_name and tls_ca, or tls = required")
    version = session.sock.version() if isinstance(session.sock, ssl.SSLSocket) else "TLS"
    return good(f"{where} answers, {version}")


def _relays(listener: Listener, helo: str, ours: str) -> Answer:
    where = f"{listener.label} at {listener.bind}"
    try:
        with _session(Endpoint(_outward(listener.bind.host), listener.bind.port), helo) as session:
            if _name(session) != helo:
                return skip(f"{where} is another mail server (PRT-01)")
            if listener.tls == "require":
                session.starttls(context=client_context(verify=False))
                session.ehlo(helo)
            peer = session.sock.getsockname()[0] if session.sock else ""
            code, text = _tried(session, STRANGER)
            if code >= 500 and not listener.trusts(peer):
                session.rset()
                code, text = _tried(session, ours)
    except ConnectionRefusedError:
        return skip(f"{where} is not running")
    except (OSError, smtplib.SMTPException) as error:
        return skip(f"{where}: {_said(error)}")
    reply = f"{code} {text.decode('utf-8', 'replace')}"
    if code < 400:
        return bad(f"{where} relays for strangers: {reply}", "narrow trusted and direction at once")
    if code < 500:
        return warn(f"{where} did not decide: {reply}", "try again")
    return good(f"{where} refuses strangers: {reply}")


def _tried(session: smtplib.SMTP, sender: str) -> tuple[int, bytes]:
    """What the server says to mail from this sender to somebody elsewhere."""
    code, text = session.mail(sender)
    return session.rcpt(ELSEWHERE) if code == 250 else (code, text)


def _outward(host: str) -> str:
    """Of a listener for every address the one that strangers see; nothing is sent to find it."""
    if host not in _WILDCARDS:
        return host
    family, somewhere = (
        (socket.AF_INET6, "2001:db8::1") if host == "::" else (socket.AF_INET, "192.0.2.1")
    )
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((somewhere, 9))
        except OSError:
            return _WILDCARDS[host]
        return str(probe.getsockname()[0])


@contextmanager
def _session(endpoint: Endpoint, helo: str) -> Iterator[smtplib.SMTP]:
    """A session after EHLO, ended by QUIT; raises OSError or SMTPException."""
    session = smtplib.SMTP(local_hostname=helo, timeout=PATIENCE)
    try:
        code, text = session.connect(_WILDCARDS.get(endpoint.host, endpoint.host), endpoint.port)
        if code != 220:
            raise smtplib.SMTPResponseException(code, text)
        session.ehlo_or_helo_if_needed()
        yield session
        with suppress(OSError, smtplib.SMTPException):
            session.quit()
    finally:
        session.close()


def _name(session: smtplib.SMTP) -> str:
    """The name a server gives itself in its reply to EHLO (RFC 5321 section 4.1.1.1)."""
    words = (session.ehlo_resp or session.helo_resp or b"").split(maxsplit=1)
    return words[0].decode("utf-8", "replace").lower() if words else ""


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return f"{error.smtp_code} {shown}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
