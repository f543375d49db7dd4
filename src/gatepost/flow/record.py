"""Fill in decisions: what stages know, as the data a trace keeps."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric import rsa

from gatepost.certificate import Certificate
from gatepost.cms.capability import SignatureScheme, Signer
from gatepost.flow.decision import CertificateNote, Decision, Done
from gatepost.flow.plan import Plan, Wish
from gatepost.mail.envelope import Recipient
from gatepost.pki.choose import Choice, Rejection
from gatepost.policy.treatment import Form


def decided(
    recipient: Recipient,
    wish: Wish,
    done: Done,
    reason: str = "",
    *,
    choice: Choice | None = None,
    plan: Plan | None = None,
    signer: Signer | None = None,
    scheme: SignatureScheme | None = None,
    form: Form | None = None,
) -> Decision:
    """The decision for one recipient of outgoing mail; what was not done is left empty."""
    certificate = choice.chosen if choice and plan and plan.certificates else None
    return Decision(
        recipient=str(recipient),
        author=str(wish.author or ""),
        done=done,
        reason=reason,
        treatment=wish.treatments[recipient.mailbox],
        certificate=CertificateNote.of(certificate, source=choice.source)
        if choice and certificate
        else None,
        rejected=_notes(choice.rejected) if choice else (),
        signer=CertificateNote.of(signer.certificate) if signer else None,
        form=form.value if form and signer else "",
        signature=f"{scheme.family} {scheme.digest}" if scheme and signer else "",
        cipher=plan.cipher if plan and certificate else "",
        key_transport=_transport(certificate, plan) if plan and certificate else "",
        because=(
            *(_because(plan, scheme if signer else None) if plan else ()),
            *(choice.remarks if choice and certificate else ()),
        ),
        apart=plan.apart if plan else False,
    )


def _because(plan: Plan, scheme: SignatureScheme | None) -> tuple[str, ...]:
    """The plan's reasons, as far as they came to matter."""
    rsa_signs = scheme is not None and scheme.family.startswith("rsa-")
    idle = {"form"} if scheme is None else set()
    idle |= set() if rsa_signs else {"signature"}
    return tuple(note for setting, note in plan.notes if setting not in idle)


def _transport(certificate: Certificate, plan: Plan) -> str:
    return plan.key_transport if isinstance(certificate.public_key, rsa.RSAPublicKey) else "ecdh"


def _notes(rejections: Iterable[Rejection]) -> tuple[CertificateNote, ...]:
    return tuple(CertificateNote.of(one.certificate, one.reason, one.source) for one in rejections)
