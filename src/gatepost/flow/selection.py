"""Choose form and algorithms for correspondents: the best all of them read (RFC 8551 2.7.1).

Only what policy leaves open ("auto") is chosen, never below its floor; whoever is not known
to read what policy demands gets it nevertheless, and the record says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from gatepost.cms.algorithms import BY_NAME
from gatepost.mail.address import Mailbox
from gatepost.pki.choose import Choice, Rejection
from gatepost.policy.treatment import (
    Cipher,
    Form,
    HeaderProtection,
    KeyChange,
    Signature,
    Transport,
    Treatment,
    Whose,
)
from gatepost.smime.correspondent import HEADER_PROTECTION, OPAQUE, Correspondent

Readers = Mapping[Mailbox, Correspondent]

CIPHERS = ("aes256-gcm", "aes128-gcm", "aes256-cbc", "aes128-cbc")  # best first
USUAL = "aes256-cbc"  # what somebody unknown reads
DIFFERS = "it differs from before"
MAXIMUM_NAMED = 3  # people in one note


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be used for one part of a message, and why."""

    form: Form
    signature: Signature
    cipher: str
    key_transport: str
    header_protection: HeaderProtection
    notes: tuple[tuple[str, str], ...]  # (setting, in words)


def select(how: Treatment, readers: Readers, *, encrypts: bool, transports: bool) -> Selection:
    """Settle what policy leaves open; `transports`: there is an RSA key to wrap to."""
    signature, signature_note = _signature(how, readers)
    form, form_note = _form(how, readers, encrypts=encrypts)
    hidden, hidden_note = _header_protection(how, readers, encrypts=encrypts)
    cipher, cipher_note = _cipher(how, readers) if encrypts else ("", "")
    transport, transport_note = _key_transport(how, readers) if encrypts else ("", "")
    notes = {
        "cipher": cipher_note,
        "key_transport": transport_note if transports else "",
        "signature": signature_note,
        "form": form_note,
        "header_protection": hidden_note,
    }
    told = tuple((setting, note) for setting, note in notes.items() if note)
    return Selection(form, signature, cipher, transport, hidden, told)


def suited(choice: Choice, how: Treatment) -> Choice:
    """The choice, as far as policy takes certificates of its kind, and their change."""
    if choice.changes and how.key_change is KeyChange.HOLD:
        return _held(choice)
    if choice.beside:
        choice = _together(choice) if how.certificate is Whose.ALL else replace(choice, beside=())
    if choice.chosen is None or not choice.domain or how.certificate is not Whose.PERSONAL:
        return choice
    why = "it is for the whole domain, and policy wants one for the address"
    rejected = Rejection(choice.chosen, why, choice.source)
    return Choice(None, (rejected, *choice.rejected), unasked=choice.unasked)


def _together(choice: Choice) -> Choice:
    """All that are usable are taken, for somebody who reads with several keys."""
    taken = {one.certificate for one in choice.beside}
    left = tuple(one for one in choice.rejected if one.certificate not in taken)
    told = ", ".join(
        f"'{one.certificate.name}' {one.certificate.fingerprint[:16]} ({one.source})"
        for one in choice.beside
    )
    remark = f"policy wants every certificate of the mailbox, so these read it as well: {told}"
    return replace(choice, rejected=left, remarks=(*choice.remarks, remark))


def is_held(choice: Choice) -> bool:
    """Whether only an administrator's word is missing."""
    return choice.chosen is None and bool(choice.changes)


def _held(choice: Choice) -> Choice:
    assert choice.chosen is not None
    why = f"{DIFFERS}, and nobody has accepted that: {'; '.join(choice.changes)}"
    rejected = (Rejection(choice.chosen, why), *choice.rejected)
    return replace(choice, chosen=None, rejected=rejected, known=None, beside=())


def _cipher(how: Treatment, readers: Readers) -> tuple[str, str]:
    if how.cipher is not Cipher.AUTO:
        return how.cipher.value, _against(how.cipher.value, readers)
    floor = how.least_cipher.value
    allowed = [one for one in CIPHERS if _reaches(one, floor)]
    for one in allowed:
        if _everybody(readers, lambda reader, name=one: reader.reads(name)):  # type: ignore[misc]  # bound now
            return one, _for(one, readers) or _lesser(one, allowed[0], readers)
    chosen = USUAL if USUAL in allowed else floor
    return chosen, _against(chosen, readers)


def _reaches(cipher: str, floor: str) -> bool:
    """Whether a cipher protects no less: authenticated if the floor is, with as long a key."""
    one, least = BY_NAME[cipher], BY_NAME[floor]
    return one.size >= least.size and (one.family == "gcm" or least.family != "gcm")


def _key_transport(how: Treatment, readers: Readers) -> tuple[str, str]:
    oaep = Transport.OAEP.value
    if how.key_transport is not Transport.AUTO:
        return how.key_transport.value, _against(how.key_transport.value, readers)
    if _everybody(readers, lambda one: one.reads(oaep)):
        return oaep, _for(oaep, readers)
    return Transport.PKCS1.value, _lesser(Transport.PKCS1.value, oaep, readers)


def _signature(how: Treatment, readers: Readers) -> tuple[Signature, str]:
    pss = Signature.PSS
    if how.signature is not Signature.AUTO:
        return how.signature, ""
    if _everybody(readers, lambda one: one.reads(pss.value)):
        return pss, _for(pss.value, readers)
    return Signature.PKCS1, _lesser(Signature.PKCS1.value, pss.value, readers)


def _form(how: Treatment, readers: Readers, *, encrypts: bool) -> tuple[Form, str]:
    """Opaque only inside encryption, where nobody without S/MIME loses the text by it."""
    if how.form is not Form.AUTO:
        return how.form, ""
    if encrypts and _everybody(readers, lambda one: one.reads(OPAQUE)):
        return Form.OPAQUE, _for(OPAQUE, readers)
    return Form.CLEAR, ""


def _header_protection(
    how: Treatment, readers: Readers, *, encrypts: bool
) -> tuple[HeaderProtection, str]:
    wished = how.header_protection
    if wished is not HeaderProtection.AUTO:
        return wished, ""
    if encrypts and _everybody(readers, lambda one: one.reads(HEADER_PROTECTION)):
        return HeaderProtection.BASELINE, _for(HEADER_PROTECTION, readers)
    return HeaderProtection.CLEAR, ""


# Words


def _everybody(readers: Readers, test: Callable[[Correspondent], bool]) -> bool:
    return bool(readers) and all(map(test, readers.values()))


def _for(name: str, readers: Readers) -> str:
    """Who is known to read what was chosen, and how."""
    known = [f"{who} {why}" for who, one in readers.items() if (why := one.because(name))]
    return f"{name}: {_several(known)}" if known else ""


def _lesser(chosen: str, better: str, readers: Readers) -> str:
    """Who stands in the way of something better that another one reads."""
    without = [str(who) for who, one in readers.items() if not one.reads(better)]
    if chosen == better or not without or len(without) == len(readers):
        return ""
    return f"{chosen}: {better} is not known to be read by {_several(without)}"


def _against(chosen: str, readers: Readers) -> str:
    """Who announced something else than what policy demands."""
    kind = BY_NAME[chosen].kind
    others = [
        f"{who} announced only {', '.join(told)}"
        for who, one in readers.items()
        if not one.reads(chosen) and (told := one.told(kind))
    ]
    return f"{chosen}: the policy wants no less, though {_several(others)}" if others else ""


def _several(parts: list[str]) -> str:
    more = f" and {len(parts) - MAXIMUM_NAMED} more" if len(parts) > MAXIMUM_NAMED else ""
    return ", ".join(parts[:MAXIMUM_NAMED]) + more
