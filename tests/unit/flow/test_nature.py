"""What a message already is, told without reading it whole."""

from collections.abc import Iterator

import pytest

from gatepost.flow.nature import Nature, nature, outer
from gatepost.mail.content import Octets
from gatepost.mime.transfer import encode_base64

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
        (HEADER.replace(b"base64", b"binary"), ENVELOPED, Nature.ENCRYPTED),
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
