"""One cell of the table of interoperability: a message made by one side, read by the other.

Plaintexts are compared, never exit codes: `openssl cms -decrypt` may print garbage and
call it a success.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from tests.interop.case import (
    CONTENTS,
    FORMS,
    Case,
    Compression,
    Direction,
    Envelope,
    Signature,
    applies,
)
from tests.interop.expected import lack
from tests.interop.peers.shape import Peer, PeerRefusedError, Reader, taken_apart
from tests.interop.people import (
    ENTITY,
    our_ciphertext,
    our_expansion,
    our_reading,
    our_reading_with,
    our_signature,
    our_verdict,
    readers,
    signers,
)
from tests.pki_builder import User

from gatepost.cms import enveloped, identifier
from gatepost.cms.encapsulation import Encapsulated
from gatepost.cms.recipient import Transported
from gatepost.errors import GatepostError
from gatepost.smime.report import Verdict


class DisagreementError(Exception):
    """Both sides went through with it, and came to different ends."""


def complaints(
    peer: Peer, name: str, direction: Direction, cases: tuple[Case, ...], *, known: bool
) -> list[str]:
    """What is not as `expected.LACKS` says; nothing, if all is.

    A release that is not the `known` one may be able to do more, but not less.
    """
    applicable = (case for case in cases if applies(case, direction))
    found = (_complaint(peer, name, direction, case, known=known) for case in applicable)
    return [one for one in found if one]


def _complaint(peer: Peer, name: str, direction: Direction, case: Case, *, known: bool) -> str:
    wanted, met = lack(name, direction, case), tried(peer, direction, case)
    where = f"{name}, {direction}, {case.name}"
    if wanted is None:
        return f"{where}: {met}" if met else ""
    if not known or (met and wanted.fits(met)):
        return ""
    if not met:
        return f"{where}: works, although {wanted.why}"
    return f"{where}: not for the reason known ({wanted.said}): {met}"


def tried(peer: Peer, direction: Direction, case: Case) -> str:
    """Why this does not work; nothing, if it does."""
    try:
        for ended in _endings(peer, direction, case):
            _same(ended)
    except (PeerRefusedError, DisagreementError, GatepostError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _endings(peer: Peer, direction: Direction, case: Case) -> Iterator[bytes]:
    """The entity as it came out at each reader, in each form."""
    ours = direction == "ours"
    if isinstance(case, Signature):
        yield from _verified_by_them(peer, case) if ours else _verified_by_us(peer, case)
    elif isinstance(case, Envelope):
        yield from _read_by_them(peer, case) if ours else _read_by_us(peer, case)
    else:
        assert isinstance(case, Compression)
        yield our_expansion(peer.compress(ENTITY))


def _verified_by_them(peer: Peer, case: Signature) -> Iterator[bytes]:
    for form in FORMS:
        yield peer.verify(our_signature(case, form))


def _verified_by_us(peer: Peer, case: Signature) -> Iterator[bytes]:
    for form in FORMS:
        report, entity = our_verdict(peer.sign(ENTITY, case, signers(case), form))
        leading = report.leading
        if leading is None or len(report.signers) != len(case.keys):
            raise DisagreementError(f"{len(report.signers)} signers: {report.all_reasons}")
        weak = case.digest == "sha1"  # read, and never called valid
        if (report.verdict is Verdict.VALID) is weak or not report.intact:
            raise DisagreementError(f"{report.verdict}: {report.all_reasons}")
        if (leading.scheme, leading.digest) != _expected(case, leading.scheme):
            raise DisagreementError(f"signed with {leading.scheme} and {leading.digest}")
        yield entity


def _expected(case: Signature, scheme: str) -> tuple[str, str]:
    """What the first signer was asked for; pure signatures leave the content's digest free."""
    if len(case.keys) > 1:
        return scheme, case.digest
    return case.family, case.digest


def _read_by_them(peer: Peer, case: Envelope) -> Iterator[bytes]:
    message = our_ciphertext(case)
    for reader in _reading(case):
        yield peer.decrypt(message, reader)


def _read_by_us(peer: Peer, case: Envelope) -> Iterator[bytes]:
    message = peer.encrypt(ENTITY, case, readers(case))
    _as_asked(message, case)
    for reader in _reading(case):
        yield _opened(message, reader, case)


def _reading(case: Envelope) -> list[Reader]:
    return readers(case)[:1] if case.first_only else readers(case)


def _as_asked(message: bytes, case: Envelope) -> None:
    """Some peers choose for themselves; then the table must not say they did as asked."""
    infos = enveloped.parse(taken_apart(message)[0]).recipients
    for reader, how in zip(readers(case), case.recipients, strict=True):
        if not isinstance(reader, User) or how.key.startswith("ml-kem"):
            continue  # ML-KEM with HKDF and with KDF3 are both right
        info = next(one for one in infos if one.certificate_id.names(reader.certificate))
        asked: object = how.transport or (how.digest, how.family)
        assert not isinstance(info, Encapsulated)
        if isinstance(info, Transported):
            found: object = identifier.transport_scheme(info.algorithm)
        else:
            agreed = identifier.agreement(info.algorithm)
            found = (agreed.digest, agreed.family)
        if found != asked:
            raise DisagreementError(f"the peer took {found} instead of {asked}")


def _opened(message: bytes, reader: Reader, case: Envelope) -> bytes:
    if not isinstance(reader, User):
        return our_reading_with(message, reader)
    opened, entity = our_reading(message, reader)
    report = opened.report
    wanted = {case.cipher} if case in CONTENTS else {"aes128-cbc", "aes256-cbc"}  # NSS chooses
    if report.cipher not in wanted or report.used != reader.certificate or report.suspicions:
        raise DisagreementError(f"{report.cipher}, {report.suspicions}")
    if report.weak is not (case.cipher == "3des-cbc"):
        raise DisagreementError("weakness is not told")
    return entity


def _same(entity: bytes) -> None:
    """Whether it is the entity we began with."""
    wanted, found = (hashlib.sha256(one).hexdigest() for one in (ENTITY, entity))
    if wanted != found:
        raise DisagreementError(f"{len(entity)} octets with the hash {found} came out")
