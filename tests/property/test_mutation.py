"""No changed octet of a small message is accepted: each one of it is tried, in each form.

Accepted is what is called valid or authentic; then it must be what Alice wrote and signed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from tests.unit.smime.letters import (
    ALICE,
    BODY,
    HEADER,
    NOW,
    alice,
    decrypt,
    encrypt,
    sign,
    verify,
)

from gatepost.errors import GatepostError
from gatepost.mail.content import join
from gatepost.mime.transfer import encode_base64
from gatepost.smime.report import Verdict
from gatepost.smime.sign import Form


def mutations(octets: bytes, *bits: int) -> Iterator[bytes]:
    """Each octet with these bits changed, one at a time."""
    for at in range(len(octets)):
        for bit in bits:
            yield octets[:at] + bytes((octets[at] ^ bit,)) + octets[at + 1 :]


def is_honest(header: bytes, body: bytes) -> bool:
    """Whether it is refused; if not, whether it says what Alice said, by Alice, then."""
    try:
        found = verify(header, body, keep_signature=False)
    except GatepostError:
        return True
    if found.report.verdict is not Verdict.VALID:
        return True
    (signer,) = found.report.signers
    by_alice = (signer.certificate, signer.signing_time) == (alice().certificate, NOW)
    return by_alice and join(found.body) == BODY and ALICE.domain.encode() in found.header


def test_clear_signed() -> None:
    """Every octet that goes over the wire: the text, the delimiters, the signature in base64."""
    header, content = sign()
    body = join(content)
    assert verify(header, body).report.verdict is Verdict.VALID
    changed = list(mutations(body, 0x01))
    assert [one for one in changed if not is_honest(header, one)] == []
    text = body.index(BODY)
    for at in range(text, text + len(BODY)):  # of the text itself, nothing at all passes
        one = body[:at] + bytes((body[at] ^ 0x01,)) + body[at + 1 :]
        assert verify(header, one).report.verdict is Verdict.INVALID


FORMS: tuple[Form, ...] = ("opaque", "clear")


@pytest.mark.parametrize("form", FORMS)
def test_the_signature_object(form: Form) -> None:
    """Every octet of the SignedData, with the text inside and beside it."""
    header, content = sign(form=form)
    body = join(content)
    if form == "opaque":
        before, coded, after = b"", body, b""
    else:
        before, mark, rest = body.rpartition(b'filename="smime.p7s"\r\n\r\n')
        coded, delimiter, rest = rest.partition(b"\r\n--")
        before, after = before + mark, delimiter + rest
    octets = base64.b64decode(coded)
    assert is_honest(header, before + encode_base64(octets) + after)
    for one in mutations(octets, 0x01, 0x40):
        assert is_honest(header, before + encode_base64(one) + after), one.hex()


def test_authenticated_enveloped_data() -> None:
    """Every octet of the AuthEnvelopedData: nothing comes out, or what Alice wrote."""
    header, content = encrypt(HEADER, BODY)
    octets = base64.b64decode(join(content))
    opened = 0
    for one in mutations(octets, 0x01, 0x02, 0x08, 0x40):
        try:
            found = decrypt(header, encode_base64(one))
        except GatepostError:
            continue
        opened += 1
        assert join(found.body) == BODY, one.hex()
        assert found.header == HEADER, one.hex()
        assert found.report.authenticated, one.hex()
    assert opened < len(octets) / 4  # versions and the like, which say nothing
