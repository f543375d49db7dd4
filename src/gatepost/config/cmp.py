"""An authority that is asked by CMP (RFC 9810)."""

from __future__ import annotations

from typing import Annotated

from cryptography import x509
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, Password
from gatepost.config.est import check_url
from gatepost.config.quantity import File


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class Cmp(Password):
    """A server of the Certificate Management Protocol; the password is the secret both know."""

    url: str
    """Its whole address, such as "https://ca.example.com/.well-known/cmp/p/mail"; http works too,
    for messages are protected by themselves, but lets anybody on the way guess at the password."""
    reference: Annotated[str, Field(max_length=64)] = ""
    """The name under which the server knows the secret (senderKID)."""
    sign_renewals: bool = False
    """Sign what renews a certificate with that one's key (kur), and ask by the password only if
    that is declined; needs signers. Without reference and password nothing but renewals is asked
    for."""
    recipient: str = ""
    """Distinguished name of the authority, such as "CN=Mail CA,O=Example"; empty: none is named."""
    signers: File | None = None
    """PEM file of certificates with which the server signs its answers, if it does; nothing:
    answers are believed by the password alone."""
    anchors: File | None = None
    """PEM file of CAs that the web server is believed by; nothing: those of the system."""

    @model_validator(mode="after")
    def _check(self) -> Cmp:
        check_url(self.url, ("https", "http"))
        if self.sign_renewals and self.signers is None:
            raise ValueError("sign_renewals needs signers: such answers are signed, too")
        secret = (bool(self.reference), self.password_sources)
        if secret != (True, 1) and not (self.sign_renewals and secret == (False, 0)):
            raise ValueError(
                "expected reference and exactly one of password_file, password_environment,"
                " password_credential"
            )
        try:
            x509.Name.from_rfc4514_string(self.recipient)
        except ValueError as error:
            raise ValueError('recipient: expected a name such as "CN=Mail CA,O=Example"') from error
        return self
