"""Capabilities out of directories: the owner's own, and nobody else's."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.pki_builder import User, company, company_root, user

from gatepost.cms import signed
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.pki.validate import Anchors
from gatepost.smime.correspondent import Lesson
from gatepost.smime.word import Word, lesson, words

BOB = Mailbox.parse("bob@partner.example")
HIS = user("bob@partner.example", "p256")
ANCHORS = Anchors(frozenset({company_root().certificate}), frozenset({company().certificate}))
CAN = ("aes256-gcm", "aes128-cbc")


def entry(now: datetime, who: User = HIS, content: bytes = b"", **more: object) -> bytes:
    """A value of userSMIMECertificate."""
    known = {"detached": True, "when": now, "capabilities": CAN, **more}
    return join(signed.sign(Octets(content), [who.signer], None, **known))  # type: ignore[arg-type]  # as `sign` has them


def said(octets: bytes) -> tuple[Word, ...]:
    return tuple(words(signed.parse(octets)))


def taught(octets: bytes, now: datetime, mailbox: Mailbox = BOB) -> Lesson | None:
    """What the first word teaches."""
    one = next(iter(said(octets)))
    return lesson(one, mailbox, one.beside, ANCHORS, now)


@pytest.mark.parametrize("content", [b"", b"whatever its maker signed"])
@pytest.mark.parametrize("detached", [True, False])
def test_what_he_announced(now: datetime, content: bytes, *, detached: bool) -> None:
    """He would get AES-CBC for ever, whatever he reads: a directory is all we have of him."""
    octets = entry(now, content=content, detached=detached)
    assert taught(octets, now) == Lesson(BOB, now, frozenset(CAN))
    assert said(octets)[0].beside == (company().certificate,)


def test_a_changed_word(now: datetime) -> None:
    """Whoever runs the directory could have mail to Bob encrypted as weakly as he likes."""
    octets = entry(now)
    (info,) = signed.parse(octets).signers
    assert info.signed_attributes is not None
    start = octets.index(info.signed_attributes[4:])
    for place in range(start, start + len(info.signed_attributes) - 4):
        changed = bytearray(octets)
        changed[place] ^= 1
        assert said(bytes(changed)) == ()
    sealed = octets.index(info.signature)
    for place in (sealed + 12, sealed + len(info.signature) - 1):
        changed = bytearray(octets)
        changed[place] ^= 1
        assert said(bytes(changed)) == ()


def test_somebody_elses_word(now: datetime) -> None:
    """Eve's own, under Bob's name in the directory, would speak for him."""
    assert taught(entry(now, user("eve@partner.example", "p256")), now) is None
    stranger = company("Stranger").user("bob@partner.example", kind="p256")
    assert taught(entry(now, stranger), now) is None
    assert taught(entry(now), now, Mailbox.parse("eve@partner.example")) is None


def test_out_of_time(now: datetime) -> None:
    """A word from the future would be the newest for ever; one under an ended key is nobody's."""
    assert taught(entry(now + timedelta(days=2)), now) is None
    assert taught(entry(now), now + timedelta(days=3650)) is None
    encrypts = company().user("bob@partner.example", kind="p256", purpose="encrypt")
    assert taught(entry(now, encrypts), now) is None


def test_nothing_said(now: datetime) -> None:
    """A bag of certificates, or a signature without attributes, says nothing of programs."""
    assert said(entry(now, capabilities=())) == ()
    found = signed.parse(entry(now))
    (info,) = found.signers
    for one in (
        replace(info, signed_attributes=None),
        replace(info, signed_attributes=b"\xa0\x02\x31\x00"),
        replace(info, digest_identifier=b"\x30\x03\x06\x01\x2a"),
    ):
        assert tuple(words(replace(found, signers=(one,)))) == ()
    assert tuple(words(replace(found, signers=()))) == ()


def test_a_crowd_of_signers(now: datetime) -> None:
    """Each costs a signature's time."""
    many = join(signed.sign(Octets(b""), [HIS.signer] * 10, None, detached=True, when=now))
    assert len(said(many)) <= 4
