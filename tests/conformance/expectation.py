"""What each label asks of what was seen: a complaint, or nothing when it is as expected."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator

from tests.conformance.arrival import texts
from tests.conformance.entry import Entry
from tests.conformance.seen import Seen

from gatepost.mime import headers
from gatepost.mime.canonical import crlf
from gatepost.mime.entity import split_header
from gatepost.smime.report import SignatureReport, Verdict

LIMIT = 1.0  # seconds of processor time
_TEXT = frozenset({"message.rtf", "message.html"})
GOOD = frozenset({Verdict.VALID, Verdict.VALID_UNTRUSTED})  # shown as the author's own signature
_SHA1 = re.compile(r"\b[0-9a-f]{40}\b")


def complaints(entry: Entry, seen: Seen) -> Iterator[str]:
    """Everything that is not as it should be."""
    if seen.surprise:
        yield f"raised {seen.surprise}"
    if seen.seconds > LIMIT:
        yield f"took {seen.seconds:.1f} s"
    if seen.changed:
        yield seen.changed
    if entry.is_judged and not seen.surprise:
        check = _CHECKS[entry.label]
        yield from (text for text in (check(entry, seen), _subject(entry, seen)) if text)


def _outer(seen: Seen) -> SignatureReport | None:
    return seen.signatures[0] if seen.signatures else None


def _valid(entry: Entry, seen: Seen) -> str:
    """Intact, and unless the source looks at the mathematics only, usable and trusted."""
    if seen.verdicts:
        return _valid_bare(entry, seen)
    if seen.paths:
        if not all(one.trusted for one in seen.paths):
            return "no path was found"
        return "the name does not fit" if seen.stranger else ""
    found = _outer(seen)
    if found is None:
        return "no signature was found"
    if not found.intact:
        return "the signature counts as broken"
    if entry.is_signature_only:
        return ""
    if _is_old(entry):
        return "" if not found.valid else "an algorithm of the past is not flagged"
    if not found.valid:
        return "the signature is not valid"
    return "" if found.trusted or not entry.paths("trust_anchor") else "the signer is not trusted"


def _valid_bare(entry: Entry, seen: Seen) -> str:
    if not all(one.intact for one in seen.verdicts):
        return "the signature counts as broken"
    if _is_old(entry):
        return "" if all(one.weak for one in seen.verdicts) else "SHA-1 is not flagged"
    wanted = entry.text("plaintext_sha256")
    if wanted and seen.plain is not None and _digest(seen.plain) != wanted:
        return "the content is not what was signed"
    return "" if all(one.trusted for one in seen.paths) else "the signer is not trusted"


def _is_old(entry: Entry) -> bool:
    return "a modern policy must flag or reject" in entry.note


def _invalid(entry: Entry, seen: Seen) -> str:
    """Not shown as good: broken, or its signer not acceptable."""
    if seen.paths and not seen.verdicts:
        good = any(one.trusted for one in seen.paths) and not seen.stranger
        return "a path was found" if good else ""
    if seen.verdicts:
        sound = all(one.intact and not one.weak for one in seen.verdicts)
        trusted = all(one.trusted for one in seen.paths)
        return "the signature counts as good" if sound and trusted else ""
    found = _outer(seen)
    if found is None or found.verdict is Verdict.INVALID or not found.valid:
        return ""
    if entry.paths("trust_anchor") and not found.trusted:
        return ""
    if "e-mail address" in entry.note and found.verdict not in GOOD:
        return ""
    return "the signature counts as good"


def _decrypts(entry: Entry, seen: Seen) -> str:
    if seen.plain is None and not seen.encryptions:
        return "nothing was decrypted"
    text = entry.text("must_contain")
    if text and seen.encryptions and text.encode() not in texts(seen.out):
        return "the text is not in what was decrypted"
    return _content(entry, seen)


def _content(entry: Entry, seen: Seen) -> str:
    observed = entry.row.get("observed") or {}
    wanted = {entry.text("plaintext_sha256"), observed.get("plaintext_sha256")} - {"", None}
    wanted.add(observed.get("plaintext_sha256_lf"))
    if seen.plain is None or wanted <= {None}:
        return ""
    forms = (seen.plain, crlf(seen.plain), seen.plain.replace(b"\r\n", b"\n"))
    return "" if wanted & set(map(_digest, forms)) else "the plaintext is another one"


def _digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


def _decrypts_valid(entry: Entry, seen: Seen) -> str:
    wrong = _decrypts(entry, seen)
    if wrong:
        return wrong
    inner = seen.signatures[-1] if seen.signatures else None
    if inner is None:
        return "no signature was found inside"
    return "" if inner.intact and inner.valid else "the signature inside is not valid"


def _decrypts_invalid(entry: Entry, seen: Seen) -> str:
    return _decrypts(entry, seen) or _invalid(entry, seen)


def _reject(entry: Entry, seen: Seen) -> str:
    if seen.encryptions or (seen.plain is not None and not seen.verdicts):
        return "a plaintext was released"
    return _invalid(entry, seen)


def _decompresses(entry: Entry, seen: Seen) -> str:
    return _content(entry, seen) if seen.plain is not None else "nothing was decompressed"


def _not_good(_entry: Entry, seen: Seen) -> str:
    """Nothing is shown as the author's signature."""
    good = any(one.verdict in GOOD for one in seen.signatures)
    return "a signature is shown as the author's" if good else ""


def _plain(_entry: Entry, seen: Seen) -> str:
    """A mail without cryptography; certificates sent along are no signature."""
    if seen.encryptions or seen.sealed:
        return "something counts as encrypted"
    return "something counts as signed" if any(one.signers for one in seen.signatures) else ""


def _isolated(_entry: Entry, seen: Seen) -> str:
    return "a part was decrypted in its surroundings" if seen.encryptions else ""


def _no_certificate(_entry: Entry, seen: Seen) -> str:
    missing = seen.verdicts and all(one.certificate is None for one in seen.verdicts)
    return "" if missing and not any(one.intact for one in seen.verdicts) else "a signer was found"


def _no_key(_entry: Entry, seen: Seen) -> str:
    return "" if seen.sealed and not seen.encryptions else "not reported as sealed"


def _one_message(_entry: Entry, seen: Seen) -> str:
    if seen.senders > 1:
        return "a second mail was taken"
    for body in seen.bodies or ():
        rest = body.replace(b"\r\n", b"")
        if b"\r" in rest or b"\n" in rest or b"\0" in body:
            return "a bare line end or NUL goes on to the next server"
    return ""


def _control(_entry: Entry, seen: Seen) -> str:
    """The good mail beside the attacks: without it, refusing everything would do."""
    found = _outer(seen)
    good = found is not None and found.intact and found.valid and found.matches
    return "" if good else "the genuine mail is not shown as signed"


def _imports(entry: Entry, seen: Seen) -> str:
    if not seen.certificates:
        return "it was not read"
    wanted = set(_SHA1.findall(entry.note))
    found = {hashlib.sha1(one.der).hexdigest() for one in seen.certificates}
    return "" if wanted & found else "it holds another certificate"


def _attachments(entry: Entry, seen: Seen) -> str:
    """Up to line ends, and without the text that some readers also give as an attachment.

    The source numbers attachments of one name; the octets tell which is which.
    """
    if seen.attachments is None:
        return "TNEF was not read"
    forms = (form for _, data in seen.attachments for form in (data, data.replace(b"\r\n", b"\n")))
    found = set(map(_digest, forms))
    wanted = entry.row["attachments_sha256"].items()
    missing = [name for name, one in wanted if one not in found and name not in _TEXT]
    return f"attachments differ: {', '.join(missing)}" if missing else ""


def _parses(_entry: Entry, _seen: Seen) -> str:
    return ""


def _subject(entry: Entry, seen: Seen) -> str:
    """RFC 9788: the protected Subject is the one the reader gets."""
    if "protected-subject" not in entry.details:
        return ""
    said = re.search(r'protected-subject="([^"]*)"', entry.details)
    wanted = said[1] if said else _inner_subject(entry)
    shown = headers.first(split_header(seen.out)[0], "Subject")
    return "" if shown and shown.text.strip() == wanted else "the protected Subject is not shown"


def _inner_subject(entry: Entry) -> str:
    """The first Subject that stands inside: beside the entry where that was encrypted."""
    inside = b"".join(path.read_bytes() for path in entry.paths("aux_files"))
    found = re.findall(rb"(?m)^Subject: (.*?)\r?$", inside or split_header(entry.octets)[1])
    return found[0].decode() if found else ""


Check = Callable[[Entry, Seen], str]
_CHECKS: dict[str, Check] = {
    "decompresses": _decompresses,
    "decrypts": _decrypts,
    "decrypts+invalid": _decrypts_invalid,
    "decrypts+valid": _decrypts_valid,
    "invalid": _invalid,
    "isolate-decrypted-part": _isolated,
    "malformed-no-crash": _not_good,
    "no-auto-sign-of-quoted-html": _plain,
    "no-key": _no_key,
    "not-valid-for-manager": _not_good,
    "one-message-or-reject": _one_message,
    "p12-imports": _imports,
    "parses": _parses,
    "partial-not-fully-signed": _not_good,
    "reject": _reject,
    "sender-mismatch": _not_good,
    "tnef-attachments": _attachments,
    "unsigned": _not_good,
    "unsigned-unencrypted": _plain,
    "unverifiable-no-cert": _no_certificate,
    "valid": _valid,
    "valid-signature-expired-chain": _control,
}
