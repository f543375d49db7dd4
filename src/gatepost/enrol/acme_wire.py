"""Speak ACME with one authority: requests signed by the account's key (RFC 8555 section 6).

The library `acme` signs, encodes and tries once more after a bad nonce; here stand what it
lacks for e-mail (RFC 8823 section 3), limits on what a server may send, and every failure
in one sentence.  Synchronous: it is called in a thread.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import josepy
import requests
from acme import challenges, errors, messages
from acme.client import ClientNetwork
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from josepy import b64, json_util, jwa, jwk

from gatepost.certificate import Certificate
from gatepost.enrol.acme_renewal import AGAIN, certificate_id
from gatepost.enrol.acme_renewal import read as advised
from gatepost.enrol.carrier import wait
from gatepost.enrol.source import Advice
from gatepost.errors import Refused, Unavailable

PATIENCE: Final = 20.0  # seconds for one answer
LONGEST: Final = 90.0  # seconds for a whole conversation; `engine.enroller` grants 120
LARGEST: Final = 1 << 20  # octets of an answer
LATEST: Final = timedelta(days=1)
_REDIRECTS: Final = 3
_IDENTITIES: Final = 20
_TRANSIENT: Final = frozenset({"badNonce", "serverInternal", "connection", "dns", "tls"})
# What the library raises over JSON that is not what it expects, or nested too deep.
_NONSENSE: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,512}\Z")  # RFC 8555 section 8.1: 128 bits

EMAIL: Final = messages.IdentifierType("email")


def _token(text: object) -> str:
    if not isinstance(text, str) or not _TOKEN.match(text.rstrip("=")):
        raise josepy.errors.DeserializationError(
            "the token of email-reply-00 has fewer than 128 bits"
        )
    return text.rstrip("=")


def _sender(text: object) -> str:
    if not isinstance(text, str):
        raise josepy.errors.DeserializationError("email-reply-00 does not say who will write")
    return text


@challenges.Challenge.register
class EmailReply00(challenges.Challenge):
    """The challenge of RFC 8823: a mail from `sender` brings the token's first part."""

    typ = "email-reply-00"
    token: str = json_util.field("token", decoder=_token)
    sender: str = json_util.field("from", decoder=_sender)


@challenges.ChallengeResponse.register
class EmailReply00Response(challenges.ChallengeResponse):
    """Says that the mail was answered: an empty object (RFC 8555 section 7.5.1)."""

    typ = "email-reply-00"


class _NewOrder(messages.NewOrder):
    """An order that may name the certificate it replaces (RFC 9773 section 5)."""

    replaces: str | None = json_util.field("replaces", omitempty=True)


class RateLimited(Unavailable):
    """The authority wants to be asked later (RFC 8555 section 6.6)."""

    def __init__(self, detail: str, again: timedelta) -> None:
        super().__init__(detail)
        self.again = again


class AccountUnknown(Unavailable):
    """The authority does not know our account any more."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A resource as it is now."""

    data: dict[str, Any]
    place: str = ""  # its own URL, where it was told
    retry_after: timedelta | None = None


class _Session(requests.Session):
    """HTTPS only, to nobody's proxy, and no answer longer than it may be."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.max_redirects = _REDIRECTS
        self.last: requests.Response | None = None
        self._end = time.monotonic() + LONGEST

    @property
    def left(self) -> float:
        """Seconds."""
        return self._end - time.monotonic()

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if urlsplit(request.url or "").scheme != "https":
            raise requests.exceptions.InvalidSchema("ACME is spoken over HTTPS only")
        left = self.left
        if left <= 0:
            raise requests.Timeout
        limits = {"stream": True, "timeout": min(PATIENCE, left)}
        self.last = response = super().send(request, **{**kwargs, **limits})
        octets = bytearray()
        for chunk in response.iter_content(1 << 14):
            octets += chunk
            if len(octets) > LARGEST:
                response.close()
                raise requests.exceptions.ContentDecodingError(f"more than {LARGEST} octets")
        response._content = bytes(octets)  # noqa: SLF001  what `content` gives from now on
        return response


class Wire:
    """One conversation, by one account key."""

    def __init__(self, url: str, key: ec.EllipticCurvePrivateKey, anchors: Path | None) -> None:
        """Fetch the directory; raises Unavailable."""
        self.host = urlsplit(url).netloc
        self._jwk = jwk.JWKEC(key=key)
        verified = str(anchors or _system_anchors())
        self._network = ClientNetwork(
            self._jwk,
            alg=jwa.ES256,
            verify_ssl=verified,  # type: ignore[arg-type]  # requests takes a path as well
            user_agent="Gatepost",
        )
        self._network.session.close()
        self._session = self._network.session = _Session()
        with self._speaking():
            found = self._network.get(url).json()
            self.directory = messages.Directory.from_json(found)
            for name in ("newNonce", "newAccount", "newOrder"):
                _checked(self.directory[name])

    def close(self) -> None:
        """Hang up."""
        self._session.close()

    @property
    def thumbprint(self) -> str:
        """Of the account's key (RFC 7638)."""
        return b64.b64encode(self._jwk.public_key().thumbprint()).decode()

    @property
    def terms(self) -> str:
        """The terms of service to agree to; empty: none."""
        return str(self.directory.meta.terms_of_service or "")

    @property
    def wants_binding(self) -> bool:
        """Whether accounts must be bound to a customer (RFC 8555 section 7.3.4)."""
        return bool(self.directory.meta.external_account_required)

    @property
    def identities(self) -> tuple[str, ...]:
        """By which domain names it goes in CAA records (RFC 8555 section 7.1.1)."""
        found = self.directory.meta.caa_identities
        listed = found if isinstance(found, list | tuple) else ()
        return tuple(plain(one) for one in listed[:_IDENTITIES] if isinstance(one, str))

    def use(self, account: str) -> None:
        """Speak in the name of an account."""
        self._network.account = messages.RegistrationResource(
            body=messages.Registration(), uri=account
        )

    def register(self, contact: str, *, agreed: bool, kid: str, hmac_key: str) -> str:
        """Make an account, or find that of our key; its URL."""
        with self._speaking():
            binding = (
                messages.ExternalAccountBinding.from_data(
                    self._jwk.public_key(), kid, hmac_key, self.directory
                )
                if kid
                else None
            )
            registration = messages.NewRegistration.from_data(
                email=contact or None,
                terms_of_service_agreed=agreed or None,
                external_account_binding=binding,
            )
            return self._post(self.directory["newAccount"], registration).place

    @property
    def advises(self) -> bool:
        """Whether it says when to renew (RFC 9773 section 3)."""
        return bool(self._renewal_info)

    @property
    def is_spent(self) -> bool:
        """Whether there is no time left for another question."""
        return self._session.left <= 0

    @property
    def _renewal_info(self) -> str:
        try:
            return str(self.directory["renewalInfo"])
        except KeyError:
            return ""

    def advice(self, certificate: Certificate) -> Advice:
        """When it would have a certificate renewed (RFC 9773 section 4)."""
        which = certificate_id(certificate)
        if not which:
            raise Refused("the certificate does not say which key of its authority signed it")
        with self._speaking():
            url = _checked(self._renewal_info).rstrip("/")
            response = self._network.get(f"{url}/{which}")
            later = response.headers.get("Retry-After", "")
            return advised(response.json(), later_by(later, AGAIN) if later else AGAIN)

    def place(self, address: str, replacing: Certificate | None = None) -> Reply:
        """Order a certificate for an address (RFC 8823 section 3, RFC 9773 section 5)."""
        identifier = messages.Identifier(typ=EMAIL, value=address)
        which = certificate_id(replacing) if replacing and self.advises else ""
        with self._speaking():
            order = _NewOrder(identifiers=[identifier], replaces=which or None)
            try:
                return self._post(self.directory["newOrder"], order)
            except errors.ConflictError as error:  # the library looks no closer at a 409
                raise Refused(f"{self.host} will not have this certificate replaced") from error

    def look(self, url: str) -> Reply:
        """A resource as it is now: POST-as-GET."""
        with self._speaking():
            return self._post(url, None)

    def respond(self, url: str) -> Reply:
        """Say that a challenge was met."""
        with self._speaking():
            return self._post(url, EmailReply00Response())

    def finalize(self, url: str, request: bytes) -> Reply:
        """Send the request for the certificate."""
        with self._speaking():
            csr = x509.load_der_x509_csr(request)
            return self._post(url, messages.CertificateRequest(csr=csr))

    def chain(self, url: str) -> bytes:
        """The certificate and its issuers, in PEM (RFC 8555 section 7.4.2)."""
        with self._speaking():
            return self._sent(url, None).content

    def challenge(self, data: dict[str, Any]) -> EmailReply00 | None:
        """What of an authorization's challenges is ours."""
        with self._speaking():
            found = challenges.Challenge.from_json(data)
        return found if isinstance(found, EmailReply00) else None

    def _post(self, url: str, body: Any) -> Reply:
        response = self._sent(url, body)
        data = response.json()
        if not isinstance(data, dict):
            raise errors.ClientError("no object")
        later = response.headers.get("Retry-After", "")
        place = response.headers.get("Location", "")
        return Reply(data, place and _checked(place), later_by(later) if later else None)

    def _sent(self, url: str, body: Any) -> requests.Response:
        network, nonce = self._network, self.directory["newNonce"]
        return network.post(_checked(url), body, new_nonce_url=nonce)

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Every failure as one of ours."""
        try:
            yield
        except messages.Error as error:
            raise self._problem(error) from error
        except requests.RequestException as error:
            raise Unavailable(f"{self.host}: {_reason(error)}") from error
        except (errors.Error, josepy.errors.Error, *_NONSENSE) as error:
            status = self._session.last.status_code if self._session.last is not None else 0
            said = f"{status}" if status >= 400 else str(error)[:200]
            raise Unavailable(f"{self.host} does not speak ACME as expected: {said}") from error

    def _problem(self, error: messages.Error) -> Unavailable | Refused:
        """RFC 8555 section 6.7."""
        code = str(error.typ).rpartition(":")[2][:60]
        said = f"{self.host}: {plain(str(error.detail or error.title or ''))} ({plain(code)})"
        last = self._session.last
        if code == "rateLimited":
            later = last.headers.get("Retry-After", "") if last is not None else ""
            return RateLimited(said, later_by(later))
        if code == "accountDoesNotExist":
            return AccountUnknown(said)
        if code in _TRANSIENT or (last is not None and last.status_code >= 500):
            return Unavailable(said)
        return Refused(said)


def plain(text: str) -> str:
    """A stranger's text for people: one short line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:1000]).split())[:300]


def later_by(text: str, default: timedelta = timedelta(hours=1)) -> timedelta:
    """How long Retry-After wants us to wait, within a day."""
    found = wait(text, datetime.now(UTC))
    return default if found is None else min(found, LATEST)


def _system_anchors() -> str:
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or ""


def _checked(url: object) -> str:
    if not isinstance(url, str) or not url.startswith("https://"):
        raise errors.ClientError(f"{str(url)[:100]!r} is no https URL")
    return url


def _reason(error: BaseException) -> str:
    """What TLS or the network said first, without what only programmers read."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return f"its TLS certificate is not believed: {found.verify_message}"
        if isinstance(found, OSError) and found.strerror and not isinstance(found, ssl.SSLError):
            return found.strerror
        reason = getattr(found, "reason", None)
        below = reason if isinstance(reason, BaseException) else None
        args = [one for one in found.args if isinstance(one, BaseException)]
        found = below or (args[0] if args else None) or found.__cause__ or found.__context__
    if isinstance(error, requests.Timeout):
        return "it does not answer"
    return plain(str(error))
