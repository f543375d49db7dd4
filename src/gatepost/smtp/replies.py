"""The replies a server session gives by itself (RFC 5321 section 4.2, RFC 3463)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from gatepost.errors import Malformed
from gatepost.mail.reply import Reply

OK: Final = Reply(250, "2.0.0", "Ok")
SENDER_OK: Final = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "Ok")
START: Final = Reply(354, "", "End data with <CRLF>.<CRLF>")
BYE: Final = Reply(221, "2.0.0", "Bye")
TLS_GO: Final = Reply(220, "2.0.0", "Ready to start TLS")
HELP: Final = Reply(
    214,
    "2.0.0",
    "Commands: EHLO HELO LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP STARTTLS AUTH QUIT",
)
# RFC 5321 section 3.5.3: 252 when the server will not tell.
CANNOT_VERIFY: Final = Reply(252, "2.0.0", "Cannot verify, but will take the message and try")

UNKNOWN: Final = Reply(500, "5.5.2", "Command not recognised")
TOO_LONG: Final = Reply(500, "5.5.2", "Command line too long")
UNREADABLE: Final = Reply(500, "5.5.2", "Command line holds octets that may not be there")
NOT_IMPLEMENTED: Final = Reply(502, "5.5.1", "Command not implemented")
NO_ARGUMENT: Final = Reply(501, "5.5.4", "This command takes no argument")
BAD_NAME: Final = Reply(501, "5.5.4", "Give a host name or address literal")
BAD_PARAMETER: Final = Reply(501, "5.5.4", "Malformed or repeated parameter")
UNKNOWN_PARAMETER: Final = Reply(555, "5.5.4", "Parameter not recognised")
BAD_SENDER: Final = Reply(501, "5.1.7", "Malformed return path")
BAD_RECIPIENT: Final = Reply(501, "5.1.3", "Malformed recipient address")
NOT_ASCII: Final = Reply(553, "5.6.7", "Internationalised address without SMTPUTF8")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients, send the rest separately")
TOO_BIG: Final = Reply(552, "5.3.4", "Message exceeds the maximum size")
BARE_LINE_END: Final = Reply(550, "5.6.11", "Bare CR or LF in the message is not allowed")
NUL_OCTET: Final = Reply(550, "5.6.0", "NUL octets in the message are not allowed")
# Postfix's reply to the same; the session ends, for what follows may be smuggled.
BARE_IN_COMMAND: Final = Reply(521, "5.5.2", "Bare CR or LF in a command is not allowed")
NOT_SMTP: Final = Reply(521, "5.5.1", "This is an SMTP server")
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "Too many errors")
TLS_REQUIRED: Final = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
TLS_ALREADY: Final = Reply(503, "5.5.1", "TLS is active already")
FORWARD_DENIED: Final = Reply(550, "5.7.0", "XFORWARD is for trusted clients only")
CLIENT_DENIED: Final = Reply(550, "5.7.0", "XCLIENT is for trusted clients only")
# Where the next command begins cannot be known, so the session ends.
BAD_CHUNK: Final = Reply(521, "5.5.4", "Malformed chunk size")
NOBODY: Final = Reply(503, "5.5.1", "No valid recipients")
SPOILED: Final = Reply(503, "5.5.1", "The transaction has failed, send RSET")
TOO_IDLE: Final = Reply(421, "4.7.0", "Too many commands without a message")
# RFC 2033 section 4.1.
SAY_LHLO: Final = Reply(500, "5.5.1", "This is LMTP, say LHLO")

# RFC 4954 section 6.
AUTHENTICATED: Final = Reply(235, "2.7.0", "Authentication successful")
DENIED: Final = Reply(535, "5.7.8", "Authentication credentials invalid")
AUTH_LATER: Final = Reply(454, "4.7.0", "Temporary authentication failure")
AUTH_AGAIN: Final = Reply(503, "5.5.1", "Authenticated already")
AUTH_IN_CLEAR: Final = Reply(538, "5.7.11", "Encryption required for authentication")
AUTH_UNKNOWN: Final = Reply(504, "5.5.4", "Authentication mechanism not supported")
AUTH_CANCELLED: Final = Reply(501, "5.7.0", "Authentication cancelled")
AUTH_MALFORMED: Final = Reply(501, "5.5.2", "Malformed authentication exchange")
AUTH_TOO_LONG: Final = Reply(500, "5.5.6", "Authentication exchange line is too long")
TOO_MANY_LOGINS: Final = Reply(421, "4.7.0", "Too many failed log-ins")


class Fault(Malformed):
    """A command that earns this reply."""

    def __init__(self, answer: Reply) -> None:
        super().__init__(answer.text)
        self.answer = answer


@lru_cache(maxsize=256)
def encoded(reply: Reply) -> bytes:
    """A reply's octets, safe whatever text the owner took into it (section 4.2)."""
    lines = []
    for line in reply.text.split("\n"):
        clean = "".join(c if " " <= c <= "~" else "?" for c in line.strip())
        lines.append(clean[:480])  # section 4.5.3.1.5: 512 octets with code and CRLF
    return Reply(reply.code, reply.status, "\n".join(lines)).encode()
