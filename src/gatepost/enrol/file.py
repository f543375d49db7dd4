"""An authority that is reached by files: requests (RFC 2986, 7468) go out, certificates come in.

Whoever runs the authority takes requests from one folder and puts into the other what it
issued, in any usual form, several in one file if they like.  A certificate finds its request
by the key.  Nothing is ever taken out of the inbox: what lies there is not ours.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import os
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from gatepost.enrol import receipt
from gatepost.enrol.inbox import Inbox, unusable
from gatepost.enrol.source import Issued, Pending, Wanted
from gatepost.errors import Refused

AGAIN: Final = timedelta(minutes=1)
_MODE: Final = 0o640  # a request is no secret; its group may be the one who carries it
_STRANGE: Final = re.compile(r"[^A-Za-z0-9@._+=-]|^[.-]")
_SPEAKING: Final = 100  # characters of an address in a name


def written(request: bytes) -> str:
    """A request as PEM text."""
    text = base64.b64encode(request).decode("ascii")
    lines = (text[at : at + 64] + "\n" for at in range(0, len(text), 64))
    return (
        f"-----BEGIN CERTIFICATE REQUEST-----\n{''.join(lines)}-----END CERTIFICATE REQUEST-----\n"
    )


def name_of(wanted: Wanted) -> str:
    """A file name that says whose the request is, and is no other request's."""
    address = wanted.address if wanted.address[:1] != "@" else f"domain{wanted.address}"
    key = hashlib.sha256(receipt.requested_key(wanted.request)).hexdigest()
    return f"{_STRANGE.sub('_', address)[:_SPEAKING]}-{wanted.purpose}-{key[:16]}.csr"


@dataclass(frozen=True, slots=True)
class ByFile:
    """Two folders that somebody looks into."""

    name: str
    outbox: Path
    inbox: Path
    _seen: Inbox = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_seen", Inbox(self.inbox))

    async def request(self, wanted: Wanted, now: datetime) -> Issued | Pending:
        """Put the request out."""
        name = name_of(wanted)
        await asyncio.to_thread(self._put, name, written(wanted.request).encode())
        return await self.collect(wanted, name, now)

    async def collect(self, wanted: Wanted, state: str, now: datetime) -> Issued | Pending:
        """Look whether the certificate has come."""
        return await asyncio.to_thread(self._looked, wanted, state, now)

    async def answers(self, now: datetime) -> str:
        """What lies in the two folders."""
        return await asyncio.to_thread(self._state, now)

    def _put(self, name: str, octets: bytes) -> None:
        """Wholly or not at all: whoever watches the folder sees no half of it."""
        unfinished = self.outbox / f".{name}.new"
        try:
            unfinished.unlink(missing_ok=True)
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, _MODE)
                file.write(octets)
                file.flush()
                os.fsync(descriptor)
            unfinished.rename(self.outbox / name)
        except OSError as error:
            raise unusable(self.outbox, error) from error

    def _state(self, now: datetime) -> str:
        try:
            count = sum(one.suffix == ".csr" for one in self.outbox.iterdir())
        except OSError as error:
            raise unusable(self.outbox, error) from error
        if not os.access(self.outbox, os.W_OK | os.X_OK):
            raise unusable(self.outbox, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        found = self._seen.look(now)
        wait = "request waits" if count == 1 else "requests wait"
        return f"{count} {wait} in {self.outbox}{found.complaint(self.inbox)}"

    def _looked(self, wanted: Wanted, state: str, now: datetime) -> Issued | Pending:
        found = self._seen.look(now)
        own = found.by_key.get(receipt.requested_key(wanted.request), ())
        wrong = ""
        if own:
            try:
                chain = receipt.issued(wanted, (*own, *found.authorities), now)
            except Refused as error:
                wrong = f"; {error}"
            else:
                self._take_back(state)
                return chain
        return Pending(
            state,
            AGAIN,
            f"the certificate for {self.outbox / Path(state).name} to be put into {self.inbox}"
            f"{wrong}{found.complaint(self.inbox)}",
        )

    def _take_back(self, state: str) -> None:
        """What is left in the outbox is what is open."""
        try:
            (self.outbox / Path(state).name).unlink(missing_ok=True)
        except OSError as error:
            raise unusable(self.outbox, error) from error
