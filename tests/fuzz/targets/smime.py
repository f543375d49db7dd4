"""The S/MIME reader: a message through layer after layer, as the gateway peels them.

Invariant: layers and reports, or an error the function names; what is called valid is what
was signed; what comes out of the last layer is mail SMTP can carry, if what came in was; and
large mail is read as small mail is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from unittest import mock

from tests.fuzz import people
from tests.fuzz.targets import ber
from tests.pki_builder import KeyKind, SoftDecryptor
from tests.unit.smime.letters import names
from tests.unit.smime.test_outlook import CLASS, TNEF, attachment
from tests.unit.tnef.test_container import stream

from gatepost.cms import secret
from gatepost.cms.enveloped import NoRecipient
from gatepost.errors import DecryptionFailed, LimitExceeded, Malformed, Unsupported
from gatepost.mail import content as mail
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Content, Octets, join
from gatepost.mime import canonical, headers
from gatepost.mime.entity import split_header
from gatepost.mime.transfer import encode_base64
from gatepost.smime import encrypt as closing
from gatepost.smime import layers, outlook, report
from gatepost.smime import sign as signing
from gatepost.smime.decrypt import ENCRYPTED, decrypt
from gatepost.smime.expand import expand
from gatepost.smime.layers import Layer
from gatepost.smime.protection import Protection
from gatepost.smime.report import Verdict
from gatepost.smime.sign import Form
from gatepost.smime.verify import SIGNED, verify

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DEPTH = 10
GOOD = ("opened", Verdict.VALID.value)
HEADER = (
    b"From: Alice <alice@example.com>\r\nTo: Bob <bob@example.net>\r\nSubject: Offer\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n"
)
BODY = b"Dear Bob,\r\n\r\nten thousand, as agreed.\r\n"
ALICE = Mailbox("alice", "example.com")
CLEAR = Protection(encrypted=False)
HIDES = Protection(encrypted=True, hides=True)
READERS: tuple[KeyKind, ...] = ("p256", "rsa2048", "x25519")

WORDS = (
    *(
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"\0",
        b"--=_token1",
        b"\r\n--=_token1--\r\n",
        b"HP-Outer: Subject: x\r\n",
    ),
    *(
        b"multipart/signed",
        b"application/pkcs7-mime",
        b"application/pkcs7-signature",
        b"micalg=sha-256",
    ),
    *(
        b"Content-Type: ",
        b"boundary=",
        b"base64",
        b"MIAGCSqGSIb3DQEHAqCA",
        b"smime-type=signed-data",
    ),
    *(
        b'; hp="cipher"',
        b'; hp="clear"',
        b"; hp-legacy-display=1",
        b"message/rfc822",
        b"forwarded=no",
    ),
    *(
        b"Subject: x\r\n",
        b"From: Alice <alice@example.com>\r\n",
        b'; protected-headers="v1"',
        b"smime.p7m",
    ),
    *(b"application/ms-tnef", b"Content-Transfer-Encoding: ", b"binary", b"quoted-printable"),
)


def target(message: bytes) -> None:
    """One message as it may arrive, at hand and as if it were too large for that."""
    small = read(message)
    with mock.patch.object(mail, "LARGE", -1):
        large = read(message)
    if "limit" in large.said or "partly" in small.said:
        return
    assert large.good == small.good
    if not (small.is_refused or large.is_refused):  # one may see earlier that nothing is to be had
        assert large == small


@dataclass(frozen=True, slots=True)
class Read:
    """What became of a message: its layers, and what is left of it."""

    said: tuple[str, ...]
    header: bytes
    body: bytes

    @property
    def good(self) -> list[str]:
        """The layers that held."""
        return [one for one in self.said if one in GOOD]

    @property
    def is_refused(self) -> bool:
        """Whether the last layer could not be taken off."""
        return self.said[-1:] == ("refused",)


def read(message: bytes) -> Read:
    """Take off layer after layer."""
    header, body = split_header(message)
    content: Content = Octets(body)
    carried, said = is_clean(message), list[str]()
    for _ in range(DEPTH):
        bare = outlook.unwrapped(header, content)
        if bare is not None:
            header, content = bare
            said.append("tnef")
            continue
        try:
            layer = layers.outermost(header, content)
            if layer is None or not layer.whole:
                said += ["partly"] * (layer is not None)
                break
            said.append(layer.kind)
            found = peeled(header, content, layer, said)
        except LimitExceeded:
            return Read((*said, "limit"), header, join(content))
        except (Malformed, Unsupported, DecryptionFailed, NoRecipient):
            return Read((*said, "refused"), header, join(content))
        if found == (header, content):
            return Read(tuple(said), header, join(content))
        header, content = found
    text = join(content)
    assert not carried or is_clean(header + b"\r\n" + text)
    return Read(tuple(said), header, text)


def peeled(header: bytes, body: Content, layer: Layer, said: list[str]) -> tuple[bytes, Content]:
    """The message without this layer."""
    decrypted = any(one in ENCRYPTED for one in said)
    if layer.kind in ENCRYPTED:
        with mock.patch.object(secret, "MAXIMUM_ITERATIONS", ber.ITERATIONS):
            opened = decrypt(header, body, keys(), bytes, layer=layer)
        assert opened.report.as_data()
        said.append("opened")
        return opened.header, opened.body
    if layer.kind in SIGNED:
        found, verdict = checked(header, body, layer, decrypted=decrypted)
        said.append(verdict)
        return found
    expanded = expand(header, layer, protected=decrypted)
    assert expanded.report.as_data()
    return expanded.header, expanded.body


def checked(
    header: bytes, body: Content, layer: Layer, *, decrypted: bool
) -> tuple[tuple[bytes, Content], str]:
    """The message without its signature, which is only called valid over what Alice wrote."""
    author = headers.author(header)
    kept = verify(header, body, people.anchors(), NOW, author, layer=layer, decrypted=decrypted)
    found = verify(
        header, body, people.anchors(), NOW, author, keep_signature=False, layer=layer, decrypted=decrypted
    )  # fmt: skip
    assert found.report == kept.report
    assert report.tree([found.report])
    if found.report.verdict is Verdict.VALID:
        assert author is None or author.key == ALICE.key
        assert BODY in canonical.crlf(join(found.body)) or b"pkcs7" in found.header
    return (found.header, found.body), found.report.verdict.value


def is_clean(octets: bytes) -> bool:
    """Whether SMTP carries it as it is (RFC 5321 section 2.3.8)."""
    ends = octets.count(b"\r\n")
    return octets.count(b"\r") == octets.count(b"\n") == ends and b"\0" not in octets


def keys() -> list[SoftDecryptor]:
    """Bob's."""
    return [people.person("bob@example.net", kind).decryptor for kind in READERS]


def sign(header: bytes = HEADER, body: bytes = BODY, *, form: Form = "clear", protect: Protection | None = None) -> tuple[bytes, Content]:  # fmt: skip
    """Signed by Alice."""
    alice = people.person("alice@example.com", "p256").signer
    return signing.sign(header, Octets(body), alice, now=NOW, names=names(), form=form, protect=protect)  # fmt: skip


def encrypt(header: bytes = HEADER, body: Content | bytes = BODY, *, cipher: str = "aes256-gcm", to: KeyKind = "p256", protect: Protection | None = None) -> bytes:  # fmt: skip
    """Encrypted to Bob."""
    made = closing.encrypt(
        header,
        Octets(body) if isinstance(body, bytes) else body,
        [people.person("bob@example.net", to).certificate],
        cipher=cipher,
        entropy=random.Random(1).randbytes,
        protect=protect,
    )
    return octets(made)


def octets(message: tuple[bytes, Content]) -> bytes:
    """A message as one."""
    return message[0] + b"\r\n" + join(message[1])


def squeezed(whole: bytes) -> bytes:
    """A message whose entity is compressed."""
    body = ber.squeezed(whole)
    outside = HEADER.partition(b"Content-Type")[0]
    fields = b"Content-Type: application/pkcs7-mime; smime-type=compressed-data\r\n"
    return outside + fields + b"Content-Transfer-Encoding: base64\r\n\r\n" + encode_base64(body)


def seeds() -> Iterator[bytes]:
    """Every form we write, in each other too."""
    plain = HEADER + b"\r\n" + BODY
    yield plain
    for form in ("clear", "opaque"):
        for protect in (None, CLEAR, HIDES):
            signed = sign(form=form, protect=protect)
            yield octets(signed)
            yield octets(signed).replace(b"\r\n", b"\n")
            yield octets(sign(signed[0], join(signed[1]), form="clear"))
        yield encrypt(*sign(form=form, protect=HIDES))
        yield squeezed(octets(sign(form=form)))
        yield squeezed(
            octets(sign(form=form, protect=CLEAR)).partition(b"MIME-Version: 1.0\r\n")[2]
        )
    for kind in READERS:
        for cipher in ("aes256-gcm", "aes128-cbc"):
            yield encrypt(to=kind, cipher=cipher)
    yield encrypt(protect=HIDES)
    html = HEADER.replace(b"text/plain", b"text/html")
    yield encrypt(html, b"<html><body>Hello</body></html>\r\n", protect=HIDES)
    wide = HEADER.replace(b"text/plain; charset=us-ascii", b"text/plain; charset=utf-8")
    yield encrypt(wide + b"Content-Transfer-Encoding: binary\r\n", b"\xc3\xbc\r\0\n")
    yield encrypt(HEADER.replace(b"text/plain", b"message/rfc822"), plain)
    header, body = sign()
    field = headers.first(header, "Content-Type")
    assert field is not None
    packed = stream(CLASS, attachment(field.raw + b"\r\n" + join(body), b"multipart/signed"))
    yield HEADER.partition(b"Content-Type")[0] + TNEF + b"\r\n" + encode_base64(packed)
    yield octets(sign()).replace(b"as agreed.", b"as agreed. \r\n--\r\nA list")
