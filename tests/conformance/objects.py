"""Entries that are no mail: bare CMS objects, paths, PKCS #12 files and SMTP payloads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise

from tests.conformance.arrival import TODAY, anchors, moment
from tests.conformance.entry import Entry
from tests.conformance.material import certificates, crls, decryptors, evidence, stand_ins
from tests.conformance.seen import Seen
from tests.unit.smtp.play import OPEN, Play

from gatepost.certificate import Certificate
from gatepost.cms import compressed, enveloped, signed
from gatepost.cms.bulk import Bulk
from gatepost.cms.capability import Decryptor, Password, Secret, SharedKey
from gatepost.cms.designation import CertificateId
from gatepost.errors import GatepostError
from gatepost.flow.peel import ENCRYPTED, SIGNED
from gatepost.mail.content import Octets
from gatepost.mail.delivery import Tlsa
from gatepost.mime import entity
from gatepost.pki import p12
from gatepost.pki.evidence import Evidence
from gatepost.pki.pem import read_certificates
from gatepost.pki.policy import ANY, PolicyRules
from gatepost.pki.validate import Anchors, validate
from gatepost.route import tlsa
from gatepost.smime import layers
from gatepost.smtp.events import EndOfData, MailFrom
from gatepost.smtp.settings import ServerSettings
from gatepost.tnef import container


def cms(entry: Entry, content: bytes) -> Seen:
    """What `smime.layers` and `cms` make of it."""
    content = content[max(0, content.find(b"-----BEGIN ")) :]
    layer = layers.outermost(b"Content-Type: application/pkcs7-mime\r\n", content)
    if layer is None:
        return Seen(fault="not a CMS object")
    if layer.kind in ENCRYPTED:
        keys = _decryptors(entry, enveloped.recipients(layer.octets))
        opened = enveloped.decrypt(layer.octets, keys, entropy=bytes, secrets=_secrets(entry))
        return Seen(plain=opened.content)
    if layer.kind in SIGNED:
        return _signed(entry, layer.octets)
    if layer.kind == "compressed-data":
        return Seen(plain=compressed.decompress(layer.octets).content)
    return Seen(fault=f"{layer.kind} is not something this version opens")


def _decryptors(entry: Entry, named: Iterable[CertificateId]) -> tuple[Decryptor, ...]:
    password = entry.text("key_password")
    return decryptors(entry.keys, password) or stand_ins(entry.keys, password, named)


def _secrets(entry: Entry) -> tuple[Secret, ...]:
    found: list[Secret] = []
    if entry.text("password"):
        found.append(Password(entry.text("password").encode()))
    if entry.text("kek_hex"):
        found.append(SharedKey(bytes.fromhex(entry.text("kek_hex"))))
    return tuple(found)


def _signed(entry: Entry, octets: bytes | Bulk) -> Seen:
    found = signed.parse(octets)
    about = _about(entry) if found.inside is None else None
    known = certificates(entry.paths("key_files"), entry.text("key_password"))
    verdicts = signed.verify(found, about, known=known)
    trusted = anchors(entry)
    paths = tuple(
        validate(
            one.certificate,
            (*found.certificates, *known),
            trusted,
            moment=one.signing_time or moment(entry),
        )
        for one in verdicts
        if one.certificate is not None and not entry.is_signature_only and trusted.roots
    )
    return Seen(
        verdicts=verdicts, certificates=found.certificates, plain=found.content, paths=paths
    )


def _about(entry: Entry) -> Octets | None:
    files = entry.paths("aux_files")
    return Octets(files[0].read_bytes()) if files else None


# Certificates


def path(entry: Entry, content: bytes) -> Seen:
    """A leaf, its anchors and intermediates in files."""
    (leaf, *rest) = read_certificates(content)
    roots = frozenset(certificates(entry.paths("trust_anchor")))
    extra = (*rest, *certificates(entry.paths("aux_files")))
    options = entry.row.get("options") or []
    when = TODAY
    if "-attime" in options:
        when = datetime.fromtimestamp(int(options[options.index("-attime") + 1]), UTC)
    anchors = Anchors(roots, evidence=evidence(entry))
    rules = _rules(entry)
    found = validate(leaf, extra, anchors, moment=when, purpose="any", rules=rules)
    return Seen(paths=(found,))


def _rules(entry: Entry) -> PolicyRules:
    """The inputs of RFC 5280 section 6.1.1, as PKITS and OpenSSL's command line name them."""
    said = entry.row.get("validation_params") or {}
    options = entry.row.get("options") or []
    asked = [after for option, after in pairwise(options) if option == "-policy"]
    return PolicyRules(
        accepted=frozenset(said.get("user_initial_policy_set") or asked or (ANY,)),
        explicit=said.get("initial_explicit_policy", "-explicit_policy" in options),
        inhibit_mapping=said.get("initial_policy_mapping_inhibit", False),
        inhibit_any=said.get("initial_any_policy_inhibit", False),
    )


def limbo(_entry: Entry, content: bytes) -> Seen:
    """The same in one file of x509-limbo."""
    case = json.loads(content)
    (leaf,) = Certificate.from_pem(case["peer_certificate"].encode())
    extra = [one for pem in case["untrusted_intermediates"] for one in _pem(pem)]
    roots = frozenset(one for pem in case["trusted_certs"] for one in _pem(pem))
    said = case["validation_time"]
    when = datetime.fromisoformat(said) if said else TODAY
    lists = tuple(crl for pem in case["crls"] for crl in crls(pem.encode()))
    anchors = Anchors(roots, evidence=Evidence(lists) if lists else None)
    found = validate(leaf, extra, anchors, moment=when, purpose="any")
    asked = case["expected_peer_name"] or {}
    if asked.get("kind") != "DNS":
        return Seen(paths=(found,))
    chain = [one.der for one in (leaf, *extra, *roots)]
    return Seen(paths=(found,), stranger=_stranger(roots, chain, asked["value"], when))


def _stranger(roots: frozenset[Certificate], chain: list[bytes], name: str, when: datetime) -> str:
    """Why the certificate is not that server's, by the code that judges servers."""
    records = [Tlsa(tlsa.TA, tlsa.CERTIFICATE, tlsa.FULL, one.der) for one in roots]
    try:
        tlsa.proven(records, chain, [name], when)
    except tlsa.Unproven as error:
        return str(error)
    return ""


def _pem(text: str) -> tuple[Certificate, ...]:
    try:
        return Certificate.from_pem(text.encode())
    except GatepostError:
        return ()  # as in a mail: a certificate that is none is passed over


def tnef(_entry: Entry, content: bytes) -> Seen:
    """An Outlook container by itself or in a mail."""
    leaves = [entity.decoded(one) for one in entity.walk(entity.parse(content))]
    streams = [one for one in (content, *leaves) if one.startswith(container.SIGNATURE)]
    found = [one for stream in streams[:1] for one in container.read(stream).attachments]
    return Seen(attachments=tuple((one.name, one.data) for one in found))


def bundle(entry: Entry, content: bytes) -> Seen:
    """A PKCS #12 file."""
    found = p12.read(content, entry.text("password"))
    return Seen(certificates=(found.certificate, *found.issuers))


# SMTP


def session(_entry: Entry, content: bytes) -> Seen:
    """An SMTP payload in pieces of several sizes, under both ways to treat bare line ends."""
    bodies: list[bytes] = []
    senders = 0
    for bare in ("reject", "normalise"):
        for step in (len(content), 1, 7):
            settings = ServerSettings("gw.example", bare=bare)
            play = Play(settings).feed([OPEN, b"DATA\r\n"])
            play.feed(content[at : at + step] for at in range(0, len(content), step))
            senders = max(senders, sum(isinstance(one, MailFrom) for one in play.events))
            bodies += play.bodies
            assert sum(isinstance(one, EndOfData) for one in play.events) <= 1
    return Seen(bodies=tuple(bodies), senders=senders)
