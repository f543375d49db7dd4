"""What the vault lends to a request so that its owner renews his certificate himself.

The certificate that ends signs, if it can and still counts; one that only decrypts is
vouched for by its owner's signing certificate of the same authority.
"""

from __future__ import annotations

from datetime import datetime

from gatepost.certificate import Certificate
from gatepost.cms.capability import Signer
from gatepost.enrol.source import Proof
from gatepost.mail.address import Mailbox
from gatepost.pki.usable import usable_for
from gatepost.store.directory import Directory
from gatepost.store.request import Request
from gatepost.vault.keys import Vault


def proof(
    directory: Directory,
    vault: Vault,
    request: Request,
    replaced: Certificate | None,
    now: datetime,
) -> Proof | None:
    """Both keys, where there is something to renew; raises KeyUnavailable."""
    found = _signer(directory, vault, request.address, replaced, now) if replaced else None
    if found is None:
        return None
    return Proof(found, vault.holder_of(request.key_id, request.sealed).sign)


def _signer(
    directory: Directory, vault: Vault, address: str, replaced: Certificate, now: datetime
) -> Signer | None:
    if not usable_for(replaced, "sign", now):
        counts = replaced.fingerprint not in directory.revoked()
        return vault.signer_of(replaced) if counts and directory.key_of(replaced) else None
    if address.startswith("@"):
        return None
    other = vault.signer_for(Mailbox.parse(address), now)
    same = other is not None and other.certificate.issuer == replaced.issuer
    return other if same else None
