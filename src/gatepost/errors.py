"""What can go wrong, whose fault it is, and the SMTP reply it earns.

A class docstring is the default message.  `detail` is for the log and the
administrator; the peer only ever hears `reply` (maddy's separation).
"""

from __future__ import annotations

from typing import ClassVar


class GatepostError(Exception):
    """Something went wrong."""

    reply: ClassVar[tuple[int, str, str]] = (451, "4.3.0", "Local error in processing")

    def __init__(self, detail: str = "", **fields: object) -> None:
        super().__init__(detail or (self.__doc__ or "").strip())
        self.fields = fields


class Malformed(GatepostError):
    """The message could not be parsed."""

    reply = (554, "5.6.0", "Message content malformed")


class LimitExceeded(Malformed):
    """The message exceeds a limit on size, depth or count."""

    reply = (554, "5.6.0", "Message structure exceeds a limit")


class Unsupported(GatepostError):
    """The message or setting uses something this version does not implement."""

    reply = (554, "5.6.1", "Message uses an unsupported feature")


class DecryptionFailed(GatepostError):
    """The message could not be decrypted.

    One class, one message for every cause: a sender must not learn which step
    failed (Bleichenbacher, Vaudenay, EFAIL).
    """

    reply = (554, "5.7.5", "Cryptographic failure")

    def __init__(self) -> None:
        super().__init__("decryption failed")


class Refused(GatepostError):
    """Policy refuses this."""

    reply = (550, "5.7.1", "Refused by policy")


class Unavailable(GatepostError):
    """A service needed for this is unavailable now; trying later may help."""

    reply = (451, "4.3.0", "Temporarily unavailable")


class ConfigError(GatepostError):
    """The configuration is wrong; the message names file, line and key."""


class KeyUnavailable(Unavailable):
    """A private key exists but cannot be used now (vault locked, token absent)."""


class NotYet(Unavailable):
    """It was asked for and has not come yet."""
