"""What the gateway shows to everybody: certificates and lists of its own CA, and OCSP.

RFC 5280 section 4.2.1.13 and 4.2.2.1 (http), RFC 6960 appendix A.1 (GET and POST).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from urllib.parse import unquote_to_bytes

from gatepost.config import Settings
from gatepost.engine.federation import KIND, PLACE, announcer, path
from gatepost.engine.journal import Journal, reason_of
from gatepost.enrol.announcer import Announcer
from gatepost.enrol.local import LocalAuthority
from gatepost.enrol.pointer import OBJECTS, OCSP, certificate_path, crl_path
from gatepost.enrol.status import MAXIMUM_QUESTION, Responder
from gatepost.errors import GatepostError
from gatepost.events import Name
from gatepost.net.http import HttpAnswer, HttpRequest, HttpServer, Route

_CERTIFICATE, _LIST = "application/pkix-cert", "application/pkix-crl"
_QUESTION, _ANSWER = "application/ocsp-request", "application/ocsp-response"
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)

Clock = Callable[[], datetime]


def public_server(
    settings: Settings, authority: LocalAuthority | None, clock: Clock, journal: Journal
) -> HttpServer | None:
    """The server of a configuration; nothing where none is wanted."""
    public = settings.public
    if public.bind is None:
        return None
    routes: dict[str, Route] = {}
    if authority is not None:
        routes |= authority_routes(authority, clock, journal)
        if settings.federation.announce:
            routes |= federation_routes(announcer(settings, authority), clock, journal)
    return HttpServer(public.bind.host, public.bind.port, routes, connections=public.connections)


def responder(authority: LocalAuthority) -> Responder:
    """Who answers for our authorities in this process."""
    vault = authority.vault
    return Responder(
        authority.directory.ledger, lambda: vault.make("p256", "passing", "OCSP responder")
    )


def authority_routes(
    authority: LocalAuthority, clock: Clock, journal: Journal
) -> Mapping[str, Route]:
    """What our CA serves, by the beginning of the path."""
    answers = responder(authority)

    def objects(request: HttpRequest) -> HttpAnswer:
        if request.method not in {"GET", "HEAD"}:
            return HttpAnswer(405)
        for one in authority.authorities:
            if request.path == certificate_path(one):
                return HttpAnswer(200, one.der, _CERTIFICATE, _DAY)
            if request.path == crl_path(one):
                found = authority.revocations(one, clock())
                return HttpAnswer(200, found.der, _LIST, _HOUR) if found else HttpAnswer(404)
        return HttpAnswer(404)

    def ocsp(request: HttpRequest) -> HttpAnswer:
        question = _question(request)
        if isinstance(question, HttpAnswer):
            return question
        # A root delegates to no responder: its key lies in a safe, its list says everything.
        issuers = (one for one in authority.authorities if one != authority.root)
        answer = answers.answer(question, issuers, authority.lend, clock())
        return HttpAnswer(200, answer, _ANSWER)

    return {
        OBJECTS: _noting(objects, journal),
        OCSP: _noting(ocsp, journal),
    }


def federation_routes(announcer: Announcer, clock: Clock, journal: Journal) -> Mapping[str, Route]:
    """The announcements of our domains, to be reached by way of each domain's web server."""

    def announcement(request: HttpRequest) -> HttpAnswer:
        if request.method not in {"GET", "HEAD"}:
            return HttpAnswer(405)
        domain = request.path.removeprefix(PLACE).removesuffix(".json")
        if request.path != path(domain) or domain not in announcer.authority.domains:
            return HttpAnswer(404)
        return HttpAnswer(200, announcer.document(domain, clock()).encode(), KIND, _HOUR)

    return {PLACE: _noting(announcement, journal)}


def _question(request: HttpRequest) -> bytes | HttpAnswer:
    if request.method == "POST":
        if request.kind != _QUESTION:
            return HttpAnswer(415)
        return request.body
    try:
        text = unquote_to_bytes(request.path.removeprefix(OCSP).strip("/"))
        octets = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return HttpAnswer(400)
    return octets if 0 < len(octets) <= MAXIMUM_QUESTION else HttpAnswer(400)


def _noting(route: Route, journal: Journal) -> Route:
    def answer(request: HttpRequest) -> HttpAnswer:
        try:
            return route(request)
        except GatepostError as error:  # the vault is locked, the database away
            journal.note(Name.SERVICE_ERROR, service="public", reason=reason_of(error))
            return HttpAnswer(503)
        except Exception as error:  # noqa: BLE001  a stranger hears nothing of what happened
            journal.note(Name.SERVICE_ERROR, service="public", reason=reason_of(error))
            return HttpAnswer(500)

    return answer
