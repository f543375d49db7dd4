"""SMTP replies: a code, an enhanced status code (RFC 3463) and a text."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.errors import GatepostError


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; `text` may hold several lines separated by newlines."""

    code: int
    status: str  # "2.0.0" form, or "" where RFC 2034 asks for none
    text: str

    @property
    def is_positive(self) -> bool:
        """2yz or 3yz."""
        return 200 <= self.code < 400

    @property
    def is_transient(self) -> bool:
        """4yz: trying again later may help (RFC 5321 section 4.2.1)."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5yz: the same again will not help."""
        return 500 <= self.code < 600

    def softened(self) -> Reply:
        """A refusal for good as one for now (Postfix's soft_bounce); other replies as they are."""
        if not self.is_permanent:
            return self
        return Reply(self.code - 100, f"4{self.status[1:]}" if self.status else "", self.text)

    @classmethod
    def for_error(cls, error: GatepostError) -> Reply:
        """The reply an error earns; its detail stays in the log."""
        return cls(*error.reply)

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.code, self.status, self.text) if part != "")

    def encode(self) -> bytes:
        """The octets on the wire, every line with code and status (RFC 2034 section 4)."""
        lines = self.text.replace("\r", "").split("\n") or [""]
        status = f"{self.status} " if self.status else ""
        out = [
            f"{self.code}{' ' if last else '-'}{status}{line}"
            for line, last in zip(lines, [False] * (len(lines) - 1) + [True], strict=True)
        ]
        return ("\r\n".join(out) + "\r\n").encode("utf-8")
