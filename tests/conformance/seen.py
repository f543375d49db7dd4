"""What came of an entry, in one shape for mails, bare objects, paths and sessions."""

from __future__ import annotations

from dataclasses import dataclass, field

from gatepost.certificate import Certificate
from gatepost.cms.signer import SignerVerdict
from gatepost.flow.peel import SealedReport
from gatepost.pki.validate import PathReport
from gatepost.smime.report import EncryptionReport, ErrantReport, SignatureReport


@dataclass(frozen=True)
class Seen:
    """What came of an entry."""

    encryptions: tuple[EncryptionReport, ...] = ()
    signatures: tuple[SignatureReport, ...] = ()  # outermost first
    sealed: tuple[SealedReport, ...] = ()
    errant: tuple[ErrantReport, ...] = ()
    out: bytes = field(default=b"", repr=False)  # the message as relayed
    changed: str = ""  # how the relayed message differs although nothing was opened
    # bare objects
    plain: bytes | None = field(default=None, repr=False)
    verdicts: tuple[SignerVerdict, ...] = ()
    certificates: tuple[Certificate, ...] = field(default=(), repr=False)
    attachments: tuple[tuple[str, bytes], ...] | None = field(default=None, repr=False)
    paths: tuple[PathReport, ...] = ()
    stranger: str = ""  # why a server's certificate is not for the name asked for
    bodies: tuple[bytes, ...] | None = field(default=None, repr=False)  # mails an SMTP server took
    senders: int = 0
    # how it went
    fault: str = ""  # one of our errors
    surprise: str = ""  # any other
    seconds: float = 0.0  # of processor time

    @property
    def outcome(self) -> str:
        """For a person reading a list."""
        said = [f"decrypted {one.cipher}" for one in self.encryptions]
        said += [f"{one.verdict.value} {'; '.join(one.all_reasons)}" for one in self.signatures]
        said += [f"sealed: {one.reason}" for one in self.sealed]
        said += [f"errant {one.kind}" for one in self.errant]
        said += ["decrypted" for _ in (self.plain,) if self.plain is not None]
        said += ["intact" if one.intact else one.reason for one in self.verdicts]
        said += ["trusted" if one.trusted else "; ".join(one.reasons) for one in self.paths]
        said += [text for text in (self.stranger, self.changed, self.fault, self.surprise) if text]
        return " | ".join(said) or "nothing found"
