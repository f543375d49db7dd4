"""The layers and parts of a message as a tree, as deep as keys allow; judges nothing by policy."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from gatepost.certificate import Certificate
from gatepost.cms import enveloped, identifier, signed
from gatepost.cms.capability import Decryptor
from gatepost.cms.designation import CertificateId
from gatepost.errors import GatepostError, Malformed
from gatepost.mail.content import Octets, join
from gatepost.mime import entity, headers, split_header
from gatepost.mime.content_type import filename
from gatepost.mime.entity import Entity
from gatepost.pki.validate import Anchors
from gatepost.smime import layers
from gatepost.smime.decrypt import decrypt
from gatepost.smime.layers import Layer
from gatepost.smime.report import SignerReport
from gatepost.smime.verify import verify

MAXIMUM_DEPTH = 16  # cryptographic layers
MAXIMUM_SHOWN = 1000  # parts or recipients listed


@dataclass(frozen=True, slots=True)
class Node:
    """A layer or a part: what it is, what is known of it, what is inside."""

    kind: str
    size: int
    notes: tuple[str, ...] = ()
    children: tuple[Node, ...] = ()
    part: str = ""  # "2.1" inside a multipart

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "kind": self.kind,
            "part": self.part,
            "size": self.size,
            "notes": list(self.notes),
            "children": [one.as_data() for one in self.children],
        }


@dataclass(frozen=True, slots=True)
class Inspection:
    """A message: a few fields of its header and the tree of its layers."""

    fields: tuple[tuple[str, str], ...]
    root: Node

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "fields": [{"name": name, "value": value} for name, value in self.fields],
            "tree": self.root.as_data(),
        }


_FIELDS = ("From", "To", "Cc", "Subject", "Date", "Message-ID")


def inspect(
    message: bytes,
    decryptors: Sequence[Decryptor] = (),
    known: Sequence[Certificate] = (),
    *,
    now: datetime,
) -> Inspection:
    """Look into a message; what cannot be read is a note in the tree.

    Raises Malformed where there is no message at all (RFC 5322 section 3.5: fields come first).
    """
    header, body = split_header(message)
    if not headers.fields(header):
        raise Malformed(
            "this is no message: it does not begin with header fields",
            hint="a message begins with lines such as From: and Subject:, then an empty line",
        )
    fields = tuple(
        (name, found.text) for name in _FIELDS if (found := headers.first(header, name)) is not None
    )
    looking = _Looking(tuple(decryptors), (*known, *(one.certificate for one in decryptors)), now)
    return Inspection(fields, looking.message(header, body, 0))


@dataclass(frozen=True, slots=True)
class _Looking:
    """What is looked with."""

    decryptors: tuple[Decryptor, ...]
    known: tuple[Certificate, ...]
    now: datetime

    def message(self, header: bytes, body: bytes, depth: int) -> Node:
        """The node of a message or of what a layer held."""
        try:
            found = layers.outermost(header, body)
            if found is not None and found.whole and depth < MAXIMUM_DEPTH:
                return self.layer(found, header, body, depth)
            notes = (
                (f"a {found.kind} layer around part {_dotted(found.path)} only",) if found else ()
            )
            return _parts(entity.parse(header + b"\r\n" + body), notes)
        except GatepostError as error:
            return Node("unreadable", len(body), (str(error),))

    def layer(self, found: Layer, header: bytes, body: bytes, depth: int) -> Node:
        """The node of a cryptographic layer."""
        if found.kind in {"enveloped-data", "authenveloped-data"}:
            return self.encrypted(found, header, body, depth)
        if found.kind in {"multipart-signed", "signed-data"}:
            return self.signed(found, header, body, depth)
        return Node(found.kind, len(found.octets), (f"declared {found.declared}",))

    def encrypted(self, found: Layer, header: bytes, body: bytes, depth: int) -> Node:
        """An encryption: its cipher, its recipients, and inside what a key opens."""
        envelope = enveloped.parse(found.octets)
        notes = [f"cipher {_cipher(envelope.algorithm)}"]
        ids = [one.certificate_id for one in envelope.recipients]
        notes += [f"recipient {self.named(one)}" for one in ids[:MAXIMUM_SHOWN]]
        if not self.decryptors:
            return Node(found.kind, len(found.octets), (*notes, "not opened: no key given"))
        try:
            opened = decrypt(
                header, Octets(body), self.decryptors, secrets.token_bytes, layer=found
            )
        except GatepostError as error:
            return Node(found.kind, len(found.octets), (*notes, f"not opened: {error}"))
        if opened.report.used is not None:
            notes.append(f"opened with the key of {opened.report.used.name}")
        notes += opened.report.suspicions
        inside = self.message(opened.header, join(opened.body), depth + 1)
        return Node(found.kind, len(found.octets), tuple(notes), (inside,))

    def signed(self, found: Layer, header: bytes, body: bytes, depth: int) -> Node:
        """A signature: who made it, whether it holds, and inside what was signed."""
        report = verify(
            header,
            Octets(body),
            Anchors(frozenset()),
            self.now,
            headers.author(header),
            known=self.known,
            layer=found,
        ).report
        notes = [note for one in report.signers for note in _signer(one)]
        notes += report.reasons
        notes += [
            f"brings certificate {one.name} ({', '.join(one.emails) or 'no address'})"
            for one in report.certificates
        ]
        content = found.signed
        if content is None:
            content = signed.parse(found.octets).inside
        size = len(found.octets)
        if content is None:
            return Node(found.kind, size, (*notes, "without content"))
        inside = self.message(*split_header(join(content)), depth + 1)
        return Node(found.kind, size, tuple(notes), (inside,))

    def named(self, id_: CertificateId) -> str:
        """A recipient by the best name known for it."""
        certificate = id_.among(self.known)
        if certificate is not None:
            return f"{certificate.name} ({', '.join(certificate.emails)})"
        if id_.key_id is not None:
            return f"key id {id_.key_id.hex()}"
        return f"serial {id_.serial:x} of {_name(id_.issuer or b'')}"


def _signer(one: SignerReport) -> Iterator[str]:
    state = "intact" if one.intact else "not intact" if one.supported else "cannot be checked"
    when = f", {one.signing_time:%Y-%m-%d %H:%M} UTC by its own clock" if one.signing_time else ""
    how = " ".join(filter(None, (one.scheme, one.digest)))
    yield f"signature of {one.name or 'somebody unknown'}: {state}, {how}{when}"
    yield from one.reasons


def _parts(one: Entity, notes: tuple[str, ...], number: str = "") -> Node:
    children = tuple(
        _parts(child, (), f"{number}.{position}".lstrip("."))
        for position, child in enumerate(one.children[:MAXIMUM_SHOWN], start=1)
    )
    name = filename(one.header)
    shown = [*notes, *([f"file name {name}"] if name else [])]
    if one.encoding not in {"7bit", ""}:
        shown.append(f"encoding {one.encoding}")
    return Node(one.content_type.essence, one.stop - one.start, tuple(shown), children, number)


def _cipher(algorithm: bytes) -> str:
    try:
        return identifier.cipher(algorithm)[0].name
    except GatepostError as error:
        return f"unknown ({error})"


def _name(der: bytes) -> str:
    """A DER Name in words; `cryptography` reads names only inside certificates."""
    try:
        return x509.Name.from_bytes(der).rfc4514_string()
    except (AttributeError, ValueError):
        return der.hex()[:64]


def _dotted(path: Sequence[int]) -> str:
    return ".".join(map(str, path))
