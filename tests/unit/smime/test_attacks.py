"""Published attacks through the whole inbound flow: not one is shown as good, none opened.

Müller et al., "Johnny, you are fired!" (2019) and "Covert content" (2019); Poddebniak
et al., EFAIL (2018).  A control of each set shows that its keys and anchors work.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.pki_builder import SoftDecryptor
from tests.unit.smime.letters import ANCHORS, HEADER, NOW, Chance, alice, bob, decrypt, encrypt
from tests.world import World, incoming, only

from gatepost.certificate import Certificate
from gatepost.cms import enveloped
from gatepost.cms.capability import Decryptor
from gatepost.errors import DecryptionFailed, GatepostError
from gatepost.flow import inbound
from gatepost.flow.decision import decisions
from gatepost.flow.fact import AnchorsFor, Answer, DecryptorsFor, Fact
from gatepost.flow.peel import SealedReport
from gatepost.flow.verdict import Outcome
from gatepost.mail.content import Octets, join
from gatepost.mime import headers
from gatepost.mime.transfer import encode_base64
from gatepost.pki.validate import Anchors, validate
from gatepost.smime.encrypt import PKCS1

READER = "reader@xyz.example"


@dataclass(slots=True)
class Trusting(World):
    """A gateway that trusts some anchors for every domain and has one key for everybody."""

    anchors: Anchors = field(default_factory=lambda: Anchors(frozenset()))
    key: Decryptor | None = None

    def answer(self, fact: Fact) -> Answer:
        """Anchors and key, whoever is asked about."""
        if isinstance(fact, AnchorsFor):
            return self.anchors
        if isinstance(fact, DecryptorsFor):
            return () if self.key is None else (self.key,)
        return World.answer(self, fact)


def delivered(path: Path, world: World) -> Outcome:
    """What becomes of a message in a file."""
    return only(world.drive(incoming(path.read_bytes(), READER), inbound.STAGES))


def results(outcome: Outcome) -> str:
    """Our own verdict, as the reader's program sees it."""
    found = headers.first(outcome.message.header, "Authentication-Results")
    return found.text if found is not None else ""


def certificate(path: Path) -> Certificate:
    """A certificate in a PEM file."""
    return Certificate.from_pem(path.read_bytes())[0]


@pytest.fixture(scope="session")
def johnny(corpus: Path) -> Trusting:
    """A gateway on the day the attacks were made, that trusts the manager's authority."""
    keys = corpus / "johnny-fired" / "keys"
    anchors = Anchors(frozenset({certificate(keys / "intermediate_ca.crt")}))
    return Trusting(now=datetime(2019, 3, 1, tzinfo=UTC), anchors=anchors)


EVE_AS_HERSELF = "04-id/i2-display-name-confusion/i2-from-contains-signer-smime.eml"


@pytest.mark.corpus
def test_johnny_is_fired(corpus: Path, johnny: Trusting) -> None:
    """A reader believes that the manager has written."""
    folder = corpus / "johnny-fired" / "msg"
    found = {
        path.relative_to(folder).as_posix(): results(delivered(path, johnny))
        for path in sorted(folder.rglob("*.eml"))
    }
    accepted = {name: result for name, result in found.items() if "smime=pass" in result}

    # Eve's own address and signature under the name "The Manager", and a Reply-To to him.
    own = accepted.pop(EVE_AS_HERSELF)
    assert "body.smime-identifier=eve@bigcorporation.de" in own
    assert "answers go to manager@bigcorporation.de" in own
    assert list(accepted) == ["valid-signed/manager-smime.eml"]  # the control


@pytest.fixture(scope="session")
def manager(corpus: Path) -> SoftDecryptor:
    """The key the covert-content mails are encrypted to."""
    keys = corpus / "covert-content" / "keys"
    key = load_pem_private_key((keys / "manager@bigcorporation.key").read_bytes(), b"test12345678")
    assert isinstance(key, rsa.RSAPrivateKey)
    return SoftDecryptor(certificate(keys / "manager@bigcorporation.crt"), key)


@pytest.mark.corpus
def test_covert_content_stays_closed(corpus: Path, manager: SoftDecryptor) -> None:
    """A reply to a harmless mail carries the plaintext of an old, captured one."""
    folder = corpus / "covert-content" / "msg"
    world = Trusting(key=manager)
    opened = []
    for path in sorted(folder.rglob("*.eml")):
        message = incoming(path.read_bytes(), READER)
        outcome = only(world.drive(message, inbound.STAGES))
        assert "smime=pass" not in results(outcome)
        if "decrypted" in results(outcome):
            opened.append(path.relative_to(folder).as_posix())
        else:
            assert join(outcome.message.body) == join(message.body)
    assert opened == ["01-enc/smime/00-original-mail.eml"]  # the control


@pytest.mark.corpus
def test_efail_mails_pass_unopened(corpus: Path) -> None:
    """The collection of the mitigation project: mostly PGP, modified on the way."""
    world, seen = Trusting(), 0
    for path in sorted((corpus / "efail-mitigation" / "msg").rglob("*.eml")):
        message = incoming(path.read_bytes(), READER)
        outcome = only(world.drive(message, inbound.STAGES))
        assert "smime=pass" not in results(outcome)
        assert join(outcome.message.body) == join(message.body)
        seen += 1
    assert seen > 100


# EFAIL on our own mails: blocks of CBC moved, doubled and dropped


def captured(cipher: str) -> tuple[bytes, bytearray]:
    """A mail to Bob as Eve has it."""
    header, body = encrypt(HEADER, b"The secret is 4711.\r\n" * 20, cipher=cipher)
    return header, bytearray(base64.b64decode(join(body)))


def gadgets(cms: bytearray) -> Iterator[bytes]:
    """Block-wise mutations of the ciphertext, which stands last."""
    start = len(cms) - 16 * 20
    for source, target in itertools.product((0, 3, 9), (0, 1, 8)):
        made = bytearray(cms)
        piece = cms[start + 16 * source : start + 16 * source + 32]
        made[start + 16 * target : start + 16 * target + 32] = piece
        yield bytes(made)
    for flipped in range(start, len(cms), 24):
        made = bytearray(cms)
        made[flipped] ^= 0x21
        yield bytes(made)


def test_gcm_opens_nothing_that_was_changed() -> None:
    """A gadget works although the cipher is authenticated."""
    header, cms = captured("aes256-gcm")
    for made in gadgets(cms):
        if made != cms:
            with pytest.raises(GatepostError):
                decrypt(header, encode_base64(made), bob())


def test_cbc_that_was_changed_is_never_called_proven() -> None:
    """Altered CBC is shown as if nobody could have touched it."""
    header, cms = captured("aes256-cbc")
    reports = []
    for made in gadgets(cms):
        if made == cms:
            continue
        try:
            reports.append(decrypt(header, encode_base64(made), bob()).report)
        except GatepostError:
            continue
    assert reports
    assert not any(one.authenticated for one in reports)
    # A gadget leaves a block of chance behind; a few of those look like text.
    assert sum(not one.suspicions for one in reports) * 3 < len(reports)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x93\xc4garbage of a wrong key" * 4,
        b"Content-Type: text/plain\r\n\x93\xc4 garbage in the header\r\n\r\ntext\r\n",
        b"words without a header and a \x07 bell\r\n",
    ],
)
def test_cbc_garbage_fails_as_everything_else_does(garbage: bytes) -> None:
    """Another word for another failure is a padding oracle (Vaudenay, 2002)."""
    header, body = _cbc(garbage)
    with pytest.raises(DecryptionFailed) as garbled:
        decrypt(header, body, bob())
    with pytest.raises(DecryptionFailed) as cut:
        decrypt(header, _broken(body), bob())
    assert str(garbled.value) == str(cut.value)

    world = Trusting(key=bob().decryptor)
    told = []
    for content in (body, _broken(body)):
        outcome = only(world.drive(incoming(header + b"\r\n" + content, READER), inbound.STAGES))
        told.append((results(outcome), decisions(outcome.message.findings)[0].layers))
        assert any(isinstance(one, SealedReport) for one in outcome.message.findings)
    assert told[0] == told[1]


def _cbc(content: bytes) -> tuple[bytes, bytes]:
    made = enveloped.encrypt(
        Octets(content),
        [bob().certificate],
        cipher="aes256-cbc",
        key_transport=PKCS1,
        entropy=Chance(),
    )
    header = encrypt(cipher="aes256-cbc")[0]
    return header, encode_base64(join(made))


def _broken(body: bytes) -> bytes:
    content = bytearray(base64.b64decode(body))
    content[-1] ^= 0xFF
    return encode_base64(bytes(content))


def test_a_certificate_with_an_unreadable_issuer_stops_nothing() -> None:
    """One mail, tried again and again, fails every time with an error nobody expects."""
    good = alice().certificate
    issuer = good.issuer[:-1] + b"\xff"  # no UTF-8: found when the name is read, not before
    odd = Certificate.from_der(good.der.replace(good.issuer, issuer, 1))
    path = validate(odd, (), ANCHORS, moment=NOW)

    assert not path.trusted
    assert path.reasons == ("its issuer has a name that cannot be read",)
