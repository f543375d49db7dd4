"""Carries questions to an authority over HTTP and its answers back (RFC 7030 3.2, RFC 9811).

One origin, chosen by the administrator: its TLS must prove the name, by anchors of its own if
they are given; a redirect within it is followed, no other; no proxy is asked.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

from gatepost.errors import Unavailable

if TYPE_CHECKING:
    import httpx2

PATIENCE: Final = 30.0  # seconds for one answer; authorities may ask a module for a signature
LARGEST: Final = 1 << 20  # octets of an answer
_REDIRECTS: Final = 3
_REDIRECTED: Final = frozenset({301, 302, 307, 308})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    kind: str  # media type, in lower case, without parameters
    octets: bytes
    retry_after: str = ""


@dataclass(frozen=True, slots=True)
class Carrier:
    """The way to one authority."""

    url: str  # https://est.example.com:8443/path, no slash at its end
    anchors: Path | None = None  # PEM; None: those of the system
    certificate: Path | None = None  # PEM: what we show of ourselves, then its issuers
    key: Path | None = None  # PEM; None: it stands with the certificate
    user: str = ""
    password: str = field(default="", repr=False)
    patience: float = PATIENCE
    _made: dict[tuple[int, ...], ssl.SSLContext] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def host(self) -> str:
        """What to call the authority."""
        return urlsplit(self.url).netloc

    async def get(self, path: str) -> Answer:
        """What stands at a path below the URL; raises Unavailable."""
        return await self._asked("GET", path, {}, b"")

    async def post(self, path: str, body: bytes, kind: str, **fields: str) -> Answer:
        """What a body posted to a path is answered with; raises as above."""
        return await self._asked("POST", path, {"Content-Type": kind, **fields}, body)

    async def _asked(self, method: str, path: str, fields: dict[str, str], body: bytes) -> Answer:
        import httpx2  # noqa: PLC0415  0.4 s that others save

        auth = httpx2.BasicAuth(self.user, self.password) if self.user else None
        context = await asyncio.to_thread(self._context)
        try:
            async with (
                asyncio.timeout(self.patience),
                httpx2.AsyncClient(
                    verify=context, trust_env=False, timeout=self.patience, auth=auth
                ) as client,
            ):
                return await self._followed(client, method, self.url + path, fields, body)
        except TimeoutError as error:
            raise Unavailable(f"{self.host} does not answer") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unavailable(f"{self.host}: {_reason(error)}") from error

    async def _followed(
        self, client: httpx2.AsyncClient, method: str, url: str, fields: dict[str, str], body: bytes
    ) -> Answer:
        for _ in range(1 + _REDIRECTS):
            # closed by agreement: OpenSSL's server forgets a transaction when it is cut off
            head = {"Accept-Encoding": "identity", "Connection": "close", **fields}
            async with client.stream(method, url, headers=head, content=body or None) as response:
                if response.status_code not in _REDIRECTED:
                    return await self._read(response)
                url = self._redirected(url, response.headers.get("location", ""))
        raise Unavailable(f"{self.host} redirects in circles")

    def _redirected(self, url: str, place: str) -> str:
        """RFC 7030 section 3.2.1: to elsewhere only with a human's consent."""
        found = urljoin(url, place)
        if not place or _origin(found) != _origin(url):
            raise Unavailable(f"{self.host} sends us elsewhere, to {shown(found.encode())}")
        return found

    async def _read(self, response: httpx2.Response) -> Answer:
        octets = bytearray()
        async for chunk in response.aiter_raw():
            octets += chunk
            if len(octets) > LARGEST:
                raise Unavailable(f"{self.host} sends more than {LARGEST} octets")
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        later = response.headers.get("retry-after", "").strip()
        return Answer(response.status_code, kind[:100], bytes(octets), later[:100])

    def _context(self) -> ssl.SSLContext:
        """Made anew when a file changed: reading the system's anchors takes its time."""
        files = [one for one in (self.anchors, self.certificate, self.key) if one is not None]
        try:
            versions = tuple(one.stat().st_mtime_ns for one in files)
            made = self._made.get(versions)
            if made is None:
                made = self._fresh_context()
                self._made.clear()
                self._made[versions] = made
        except (OSError, ValueError) as error:
            where = ", ".join(map(str, files)) or "the system's anchors"
            raise Unavailable(f"what TLS needs cannot be read from {where}: {error}") from error
        return made

    def _fresh_context(self) -> ssl.SSLContext:
        """RFC 9525 section 6.3: common names do not count."""
        context = ssl.create_default_context(cafile=self.anchors)
        context.hostname_checks_common_name = False
        if self.anchors is not None:  # an issuing authority may be an anchor, too
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key, password=_unknown)
        return context


def shown(octets: bytes, longest: int = 200) -> str:
    """A stranger's text for people: one line, nothing that a terminal obeys."""
    text = octets[: 4 * longest].decode("utf-8", "replace")
    words = "".join(one if one.isprintable() else " " for one in text).split()
    return " ".join(words)[:longest]


def wait(text: str, now: datetime) -> timedelta | None:
    """How long Retry-After wants us to wait (RFC 9110 section 10.2.3); None: it does not say."""
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text[:9]))
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max((found if found.tzinfo else found.replace(tzinfo=UTC)) - now, timedelta(0))


def _unknown() -> str:
    """Nobody is asked for a password at the terminal of a service."""
    raise ValueError("the private key is encrypted")


def _origin(url: str) -> tuple[str, str, int | None]:
    """RFC 6454 section 4."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", "", None


_PORTS: Final = {"http": 80, "https": 443}


def _reason(error: BaseException) -> str:
    """What TLS or the network said first, without what only programmers read."""
    found, cause = error, error
    while (below := cause.__cause__ or cause.__context__) is not None:
        found = below if isinstance(below, ssl.SSLError) else found
        cause = below
    if isinstance(found, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not believed: {found.verify_message}"
    if isinstance(found, ssl.SSLError):
        return f"TLS failed: {(found.reason or str(found)).replace('_', ' ').lower()}"
    return str(error) or type(error).__name__
