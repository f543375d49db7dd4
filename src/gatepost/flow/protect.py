"""Sign, then encrypt, what `divide` planned (RFC 8551 section 3.7: sign first).

The one place where content may leave: a recipient whose encryption is mandatory gets
ciphertext or an error, whatever went before; every failure of a key or of the
cryptography becomes Defer or Reject, never less protection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from gatepost.cms.capability import Digest, KeyTransport, SignatureScheme, Signer
from gatepost.cms.signer import fitting
from gatepost.errors import GatepostError
from gatepost.flow.context import Context
from gatepost.flow.decision import Decision, Done
from gatepost.flow.fact import CertificateFor, Fact, SignerAnswer, SignerFor
from gatepost.flow.nature import Nature
from gatepost.flow.plan import Plan, Wish, latest
from gatepost.flow.record import decided
from gatepost.flow.refusal import lacking, reply
from gatepost.flow.selection import suited
from gatepost.flow.verdict import Continue, Defer, Reject, Verdict, Wait
from gatepost.mail.address import Mailbox
from gatepost.mail.content import settled
from gatepost.mail.message import Message
from gatepost.mail.reply import Reply
from gatepost.pki.choose import Choice
from gatepost.pki.identity import DOMAIN_SIGNER
from gatepost.policy import treatment
from gatepost.policy.treatment import (
    Encrypt,
    Form,
    HeaderProtection,
    Signature,
    Transport,
    Unsigned,
)
from gatepost.smime.encrypt import encrypt
from gatepost.smime.protection import Protection
from gatepost.smime.sign import is_clear, sign

_DIGESTS: dict[treatment.Digest, Digest] = {
    treatment.Digest.SHA256: "sha256",
    treatment.Digest.SHA384: "sha384",
    treatment.Digest.SHA512: "sha512",
}
_KEY_TRANSPORTS = {
    Transport.PKCS1.value: KeyTransport("rsa-pkcs1"),
    Transport.OAEP.value: KeyTransport("rsa-oaep"),
}


@dataclass(slots=True)
class _Work:
    """A message on its way through this stage, with what the decisions will tell.

    It changes as the work goes on, and nobody else ever holds it.
    """

    message: Message
    wish: Wish
    plan: Plan
    signer: Signer | None = None
    scheme: SignatureScheme | None = None
    form: Form | None = None  # of the signature, as it came out
    unsigned: str = ""  # why it is not signed although policy wishes it


def asks(message: Message, _context: Context) -> frozenset[Fact]:
    """The author's signer, where somebody is to sign."""
    plan = latest(message, Plan)
    return frozenset({SignerFor(_signing(message, plan))}) if plan.sign else frozenset()


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Carry out the plan."""
    work = _Work(message, latest(message, Wish), latest(message, Plan))
    if work.plan.refusal is not None:
        return _ended(work, _refused(work.plan, work.plan.refusal), context)
    if work.plan.sign:
        who = _signing(message, work.plan)
        answer = context.signer_for(SignerFor(who))
        if answer.signer is None and work.plan.unsigned is Unsigned.DEFER:
            return _ended(work, _no_signer(who, answer), context)
        work.signer, work.unsigned = answer.signer, answer.reason or "no key to sign with"
    message = work.message
    try:
        _sign(work, context)
        _encrypt(work, context)
    except GatepostError as error:
        work.message, work.scheme = message, None  # as if nothing had been done
        return _ended(work, _failed(error), context)
    _bind(work)
    if _exposed(work):
        fault = Reply(451, "4.7.0", "Encryption is mandatory and was not done")
        return _ended(work, Defer(fault, "stages disagree about encryption"), context)
    _settle(work)
    return _ended(work, Continue(), context)


def _refused(plan: Plan, told: Reply) -> Verdict:
    """Mail waits where policy lets it; else its author hears whether later may be better."""
    if plan.waits:
        return Wait(told, "cannot encrypt")
    verdict = Defer if told.is_transient else Reject
    return verdict(told, "cannot encrypt")


def _bind(work: _Work) -> None:
    """What may leave in clear over a verified connection only says so for as long as it waits."""
    if work.plan.secure:
        work.message = work.message.enveloped(replace(work.message.envelope, secure=True))


def _settle(work: _Work) -> None:
    """Whatever was signed or encrypted is 7-bit now, so any next hop can take it (RFC 6152)."""
    if work.signer is None and not work.plan.certificates:
        return
    message = work.message.enveloped(replace(work.message.envelope, body="7BIT"))
    work.message = message.carrying(message.header, settled(message.body))


def _author(message: Message) -> Mailbox:
    author = latest(message, Wish).author
    if author is None:
        raise LookupError("a message without author is planned to be signed")
    return author


def _signing(message: Message, plan: Plan) -> Mailbox:
    """In whose name it is signed: the author's, or his domain's (RFC 3183 section 3.1)."""
    author = _author(message)
    return Mailbox(DOMAIN_SIGNER, author.domain) if plan.as_domain else author


def _sign(work: _Work, context: Context) -> None:
    if work.signer is None:
        return
    answer = context.signer_for(SignerFor(_signing(work.message, work.plan)))
    scheme = _scheme(work.plan, work.signer)
    header, body = sign(
        work.message.header,
        work.message.body,
        work.signer,
        scheme=scheme,
        form="opaque" if work.plan.form is Form.OPAQUE else "clear",
        now=context.now,
        names=context.names,
        extra=answer.certificates,
        encryption_certificate=next(iter(answer.certificates), None),
        protect=_protection(work),
        enclosed=answer.enclosed,
    )
    # What cannot be made 7-bit without harm is signed opaquely although clear was wished.
    form = Form.CLEAR if is_clear(body) else Form.OPAQUE
    work.message = work.message.carrying(header, body)
    work.form, work.scheme, work.unsigned = form, scheme, ""


def _encrypt(work: _Work, context: Context) -> None:
    plan = work.plan
    if not plan.certificates:
        return
    header, body = encrypt(
        work.message.header,
        work.message.body,
        plan.certificates,
        cipher=plan.cipher,
        key_transport=_KEY_TRANSPORTS[plan.key_transport],
        entropy=context.entropy,
        protect=_protection(work) if work.signer is None else None,
    )
    work.message = work.message.carrying(header, body)


def _protection(work: _Work) -> Protection | None:
    """What the innermost layer made here does for the header (RFC 9788).

    The inside of a layer that the author made is not ours to write in.
    """
    wished = work.plan.header_protection
    if wished is HeaderProtection.OFF or work.wish.nature is not Nature.PLAIN:
        return None
    encrypted = bool(work.plan.certificates)
    return Protection(encrypted, hides=encrypted and wished is HeaderProtection.BASELINE)


def _scheme(plan: Plan, signer: Signer) -> SignatureScheme:
    """What was planned, as far as the key can do it; else what its type calls for."""
    wished: Digest | None = _DIGESTS.get(plan.digest)
    if isinstance(signer.certificate.public_key, EllipticCurvePublicKey):
        return fitting(signer, SignatureScheme("ecdsa", wished) if wished else None)
    family: Literal["rsa-pss", "rsa-pkcs1"] = (
        "rsa-pss" if plan.signature is Signature.PSS else "rsa-pkcs1"
    )
    return fitting(signer, SignatureScheme(family, wished or "sha256"))


def _exposed(work: _Work) -> bool:
    """Whether a mandatory recipient would get what only he should be able to read."""
    if work.message.envelope.secure:  # delivery takes a verified connection for it, or none
        return False
    if work.wish.nature is Nature.ENCRYPTED or work.plan.certificates:
        return False
    return any(
        work.wish.treatments[one.mailbox].encrypt is Encrypt.MANDATORY
        for one in work.message.envelope.recipients
    )


def _no_signer(author: Mailbox, answer: SignerAnswer) -> Verdict:
    why = answer.reason or "no key is available"
    return Defer(reply(451, "4.7.0", [f"{author}: cannot sign now: {why}"]), why)


def _failed(error: GatepostError) -> Verdict:
    told = Reply.for_error(error)
    return Defer(told, str(error)) if told.is_transient else Reject(told, str(error))


def _ended(work: _Work, verdict: Verdict, context: Context) -> tuple[Message, Verdict]:
    """Note a decision for every recipient."""
    return work.message.noting(*_decisions(work, verdict, context)), verdict


def _decisions(work: _Work, verdict: Verdict, context: Context) -> list[Decision]:
    done = _done(work, verdict)
    performed = isinstance(verdict, Continue)
    told = []
    for one in work.message.envelope.recipients:
        found = context.facts.get(CertificateFor(one.mailbox))
        how = work.wish.treatments[one.mailbox]
        choice = suited(found, how) if isinstance(found, Choice) else None
        told.append(
            decided(
                one,
                work.wish,
                done,
                _reason(work, verdict, choice),
                choice=choice,
                plan=work.plan if performed else None,
                signer=work.signer if performed else None,
                scheme=work.scheme,
                form=work.form,
            )
        )
    return told


def _done(work: _Work, verdict: Verdict) -> Done:
    if isinstance(verdict, Defer):
        return Done.DEFERRED
    if isinstance(verdict, Reject):
        return Done.REFUSED
    if isinstance(verdict, Wait):
        return Done.WAITING
    if work.plan.certificates:
        return Done.SIGNED_ENCRYPTED if work.signer else Done.ENCRYPTED
    if work.signer:
        return Done.SIGNED
    return Done.CLEAR if work.wish.nature is Nature.PLAIN else Done.UNCHANGED


def _reason(work: _Work, verdict: Verdict, choice: Choice | None) -> str:
    if isinstance(verdict, Reject | Wait) and work.plan.refusal is not None and choice is not None:
        return lacking(choice)
    if isinstance(verdict, Defer | Reject | Wait):
        return verdict.reason
    reasons = []
    how = work.wish.treatments[work.message.envelope.recipients[0].mailbox]
    if how.sign and not work.signer:
        reasons.append(f"not signed: {work.unsigned or work.wish.unsignable}")
    if choice is not None and choice.chosen is None:
        reasons.append(f"not encrypted: {lacking(choice)}")
    if work.plan.secure:
        reasons.append("it leaves over a verified TLS connection or not at all")
    return "; ".join(reasons)
