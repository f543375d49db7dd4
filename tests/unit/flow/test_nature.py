"""What a message already is, told without reading it whole."""

from collections.abc import Iterator

import pytest

from gatepost.flow.nature import Nature, nature, outer
from gatepost.mail.content import Octets
from gatepost.mime.transfer import encode_base64, encode_quoted_printable

ENVELOPED = bytes.fromhex("3080 06092a864886f70d010703 a080".replace(" ", ""))
AUTHENVELOPED = bytes.fromhex("308203e8 060b2a864886f70d0109100117 a0820000".replace(" ", ""))
SIGNED = bytes.fromhex("30820100 06092a864886f70d010702 a0820000".replace(" ", ""))
HEADER = (
    b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n"
)
PGP = b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA5\r\n-----END PGP MESSAGE-----\r\n"


@pytest.mark.parametrize(
    ("header", "body", "expected"),
    [
        (HEADER, encode_base64(ENVELOPED), Nature.ENCRYPTED),
        (HEADER, encode_base64(AUTHENVELOPED), Nature.ENCRYPTED),
        (HEADER, encode_base64(SIGNED), Nature.SIGNED),
        (HEADER, encode_base64(ENVELOPED) + b"The secret!\r\n", Nature.PLAIN),
        (HEADER, b"", Nature.PLAIN),
        (HEADER, b"The secret figures.\r\n", Nature.PLAIN),
        (
            HEADER.replace(b"pkcs7-mime", b"octet-stream"),
            encode_base64(ENVELOPED),
            Nature.ENCRYPTED,
        ),
        (
            HEADER.replace(b"pkcs7-mime", b"octet-stream").replace(b".p7m", b".doc"),
            encode_base64(ENVELOPED),
            Nature.PLAIN,
        ),
        (b"Content-Type: text/plain\r\n", PGP, Nature.ENCRYPTED),
        (b"Content-Type: text/plain\r\n", b"Look:\r\n" + PGP, Nature.PLAIN),
        (b"Content-Type: text/plain\r\n", PGP + b"secret\r\n" + PGP, Nature.PLAIN),
        (b"", b"Hello\r\n", Nature.PLAIN),
    ],
)
def test_only_what_is_encrypted_counts(header: bytes, body: bytes, expected: Nature) -> None:
    """Clear text leaves as if its author had encrypted it."""
    assert nature(header, Octets(body)) is expected


WHOLE = {
    "indefinite": ENVELOPED + bytes(4),
    "definite": bytes.fromhex("300f 06092a864886f70d010703 a002 0500".replace(" ", "")),
    "long": b"\x30\x82\x01\x09" + AUTHENVELOPED[4:17] + b"\xa0\x81\xf9" + bytes(253 - 4),
}


@pytest.mark.parametrize("coding", [b"binary", b"8bit", b"7bit", b"quoted-printable"])
@pytest.mark.parametrize("form", WHOLE)
def test_as_it_is(form: str, coding: bytes) -> None:
    """What its author encrypted is encrypted again because no base64 lies around it."""
    header = HEADER.replace(b"base64", coding)
    write = encode_quoted_printable if coding == b"quoted-printable" else bytes
    body = write(WHOLE[form])
    for end in (b"", b"\r\n", b"\n"):
        assert nature(header, Octets(body + end)) is Nature.ENCRYPTED
    assert nature(header, Octets(body + b"\r\nThe secret!\r\n")) is Nature.PLAIN
    assert nature(header, Octets(write(WHOLE[form][:-3]))) is Nature.PLAIN


class Endless:
    """Content whose later chunks must not be wanted."""

    size = 1 << 40

    def chunks(self) -> Iterator[bytes]:
        """The beginning of anything."""
        for _ in range(4):
            yield b"a" * 65536
        raise AssertionError("read further than needed")


def test_a_large_plain_message_is_not_read() -> None:
    """A large attachment is read into memory to find out that it is one."""
    for header in (b"", b"Content-Type: multipart/mixed; boundary=b\r\n", HEADER):
        assert outer(header, Endless()) in ("none", "unknown")
        if header != HEADER:
            assert nature(header, Endless()) is Nature.PLAIN


MIME = b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n'
CONTROL = b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
OCTETS = b"--b\r\nContent-Type: application/octet-stream\r\n\r\n"
LONG = PGP.replace(b"hQEMA5", b"\r\n".join([b"A" * 64] * 4000))


@pytest.mark.parametrize("armour", [PGP, LONG])
@pytest.mark.parametrize("preamble", [b"", b"This is an OpenPGP/MIME encrypted message.\r\n\r\n"])
def test_openpgp_stays_its_authors(armour: bytes, preamble: bytes) -> None:
    """A correspondent has to open two envelopes, one of them with a key he may not have."""
    body = preamble + CONTROL + OCTETS + armour + b"\r\n--b--\r\n"
    assert nature(MIME, Octets(body)) is Nature.ENCRYPTED


@pytest.mark.parametrize(
    "body",
    [
        # a server's footer, or an attachment, beside the encrypted part
        CONTROL + OCTETS + PGP + b"\r\n--b\r\n\r\nsecret\r\n--b--\r\n",
        CONTROL + OCTETS + PGP + b"\r\n--b--\r\nsecret\r\n",
        CONTROL + OCTETS + PGP + b"secret\r\n--b--\r\n",
        CONTROL + OCTETS + LONG.replace(b"AAAA\r\n", b"secret!\r\n", 2500) + b"\r\n--b--\r\n",
        CONTROL + b"secret\r\n" * 100 + OCTETS + PGP + b"\r\n--b--\r\n",
        b"secret\r\n" * 100 + CONTROL + OCTETS + PGP + b"\r\n--b--\r\n",
        CONTROL + OCTETS + b"secret\r\n--b--\r\n",
        OCTETS + PGP + CONTROL + b"--b--\r\n",
    ],
)
def test_clear_text_beside_openpgp(body: bytes) -> None:
    """The part in clear leaves although encryption is mandatory."""
    assert nature(MIME, Octets(body)) is Nature.PLAIN
