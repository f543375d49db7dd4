"""One AUTH command from its first word to a claim that can be judged (RFC 4954 section 4)."""

from __future__ import annotations

from gatepost.errors import Malformed
from gatepost.mail.reply import Reply
from gatepost.smtp import replies, sasl
from gatepost.smtp.replies import Fault
from gatepost.smtp.settings import ServerSettings


class Authentication:
    """An exchange on the lines of a session; every fault names its reply."""

    def __init__(self, argument: str, settings: ServerSettings, entropy: sasl.Entropy) -> None:
        name, _, self._initial = argument.strip().partition(" ")
        mechanism = name.upper()
        if mechanism not in settings.mechanisms:
            raise Fault(replies.AUTH_UNKNOWN)
        self.exchange = sasl.exchange(mechanism, entropy)

    def begin(self) -> sasl.Move:
        """What the AUTH command itself leads to; "=" is an initial response without octets."""
        if not self._initial:
            return self._respond(None)
        return self._respond(b"" if self._initial == "=" else self._initial.encode())

    def respond(self, line: bytes) -> sasl.Move:
        """What a response line leads to; raises Fault, and with it the exchange ends."""
        if len(line) > sasl.LINE_LIMIT - 2:
            raise Fault(replies.AUTH_TOO_LONG)
        return self._respond(line)

    def _respond(self, line: bytes | None) -> sasl.Move:
        try:
            return self.exchange.respond(None if line is None else sasl.decoded(line))
        except Fault:
            raise
        except Malformed:
            raise Fault(replies.AUTH_MALFORMED) from None


def refusal(settings: ServerSettings, identity: str, *, is_tls: bool) -> Reply | None:
    """Why nobody may log in now."""
    if not settings.mechanisms:
        return replies.NOT_IMPLEMENTED
    if identity:
        return replies.AUTH_AGAIN  # RFC 4954 section 4: once in a session
    return None if is_tls or settings.auth_in_clear else replies.AUTH_IN_CLEAR
