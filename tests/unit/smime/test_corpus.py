"""Real messages and attacks from other projects, with the answer their authors expect.

Each label is the source's own (see the corpus' README); where ours must differ, a reason
stands beside it.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from tests.pki_builder import SoftDecryptor
from tests.unit.smime.letters import Chance

from gatepost.certificate import Certificate
from gatepost.errors import GatepostError
from gatepost.mail.content import Octets, join
from gatepost.mime import headers
from gatepost.mime.entity import split_header
from gatepost.pki.validate import Anchors
from gatepost.smime import layers
from gatepost.smime.decrypt import ENCRYPTED, decrypt
from gatepost.smime.report import EncryptionReport, SignatureReport, Verdict
from gatepost.smime.verify import SIGNED, verify

pytestmark = pytest.mark.corpus

MAXIMUM_LAYERS = 8


@dataclass(frozen=True)
class Story:
    """What was found, layer by layer, and how it ended."""

    layers: tuple[EncryptionReport | SignatureReport, ...]
    errant: bool = False
    fault: str = ""

    @property
    def encrypted(self) -> bool:
        """Whether something was opened."""
        return any(isinstance(one, EncryptionReport) for one in self.layers)

    @property
    def signature(self) -> SignatureReport | None:
        """The outermost signature."""
        return next((one for one in self.layers if isinstance(one, SignatureReport)), None)


def opened(octets: bytes, keys: list[SoftDecryptor], anchors: Anchors, moment: datetime) -> Story:
    """Peel every layer that covers the whole message."""
    header, rest = split_header(octets)
    body = Octets(rest)
    found: list[EncryptionReport | SignatureReport] = []
    for _ in range(MAXIMUM_LAYERS):
        layer = layers.outermost(header, body.data)
        if layer is None or not layer.whole:
            return Story(tuple(found), errant=layer is not None)
        try:
            if layer.kind in ENCRYPTED:
                plain = decrypt(header, body, keys, Chance(), layer=layer)
                report: EncryptionReport | SignatureReport = plain.report
                header, body = plain.header, Octets(join(plain.body))
            elif layer.kind in SIGNED:
                author = headers.author(header)
                checked = verify(
                    header, body, anchors, moment, author, keep_signature=False, layer=layer
                )
                report = checked.report
                header, body = checked.header, Octets(join(checked.body))
            else:
                return Story(tuple(found), fault=layer.kind)
        except GatepostError as error:
            return Story(tuple(found), fault=str(error))
        found.append(report)
        if isinstance(report, SignatureReport) and not report.signers:
            break
    return Story(tuple(found))


@cache
def thunderbird_keys(folder: Path) -> tuple[SoftDecryptor, ...]:
    """The keys of Thunderbird's test people."""
    found = []
    for path in sorted(folder.glob("*.p12")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # these files are BER
            try:
                key, certificate, _ = pkcs12.load_key_and_certificates(path.read_bytes(), b"nss")
            except ValueError:
                continue
        if certificate is not None and isinstance(
            key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
        ):
            found.append(SoftDecryptor(Certificate.from_x509(certificate), key))
    return tuple(found)


def thunderbird(corpus: Path, name: str) -> Story:
    """A message of Thunderbird's test suite, read the way its test reads it."""
    folder = corpus / "thunderbird-smime"
    (anchor,) = Certificate.from_pem((folder / "keys" / "TestCA.pem").read_bytes())
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    octets = (folder / "msg" / name).read_bytes()
    keys = list(thunderbird_keys(folder / "keys"))
    return opened(octets, keys, Anchors(frozenset({anchor})), moment)


# Thunderbird calls a Date six hours after the signing time invalid.  A gateway may sign what
# stood in a queue that long: ours says so in a reason and leaves the verdict.
OURS = {"alice.future.dsig.SHA256.multipart.eml": "valid"}


def test_thunderbird_suite(corpus: Path) -> None:
    """Every message of Mozilla's S/MIME tests gets the answer Mozilla's tests want."""
    wrong: list[str] = []
    seen = 0
    for line in (corpus / "expected.jsonl").read_text().splitlines():
        row = json.loads(line)
        file, label = row["file"], row["expected"].split(";")[0]
        if not file.startswith("thunderbird-smime/msg/smime/") or label == "see-note":
            continue
        label = OURS.get(Path(file).name, label)
        seen += 1
        story = thunderbird(corpus, file.removeprefix("thunderbird-smime/msg/"))
        if not _fits(story, label):
            verdict = story.signature.verdict if story.signature is not None else None
            reasons = story.signature.all_reasons if story.signature is not None else ()
            wrong.append(f"{file}: {label}, but {verdict} {reasons} {story.fault}")
    assert seen > 30
    assert wrong == []


def _fits(story: Story, label: str) -> bool:
    verdict = story.signature.verdict if story.signature is not None else None
    good = verdict in (Verdict.VALID, Verdict.MISMATCH)
    match label:
        case "valid" | "outer-valid":
            return good
        case "invalid":
            return verdict is Verdict.INVALID or bool(story.fault)
        case "decrypts":
            return story.encrypted
        case "decrypts+valid":
            return story.encrypted and good
        case "decrypts+invalid":
            return story.encrypted and verdict is Verdict.INVALID
        case _:
            return False


def test_partly_signed_mail_is_not_signed(corpus: Path) -> None:
    """A signed part in an unsigned multipart: the trick of half the Johnny attacks."""
    assert thunderbird(corpus, "browser/alice.dsig.SHA256.multipart.in.mixed.eml").errant
    for name in (
        "03-mime/m2-hiding-with-html/m2-smime-mix.eml",
        "03-mime/m4-hiding-as-attachment/m4-smime.eml",
    ):
        story = johnny(corpus, name)
        assert story.errant
        assert story.signature is None


def johnny(corpus: Path, name: str) -> Story:
    """A message of "Johnny, you are fired!", judged when its certificates were valid."""
    octets = (corpus / "johnny-fired" / "msg" / name).read_bytes()
    return opened(octets, [], Anchors(frozenset()), datetime(2019, 2, 1, tzinfo=UTC))


def test_the_control_of_the_johnny_set_is_good(corpus: Path) -> None:
    """Without it, refusing everything would pass all attack tests."""
    signature = johnny(corpus, "valid-signed/manager-smime.eml").signature

    assert signature is not None
    assert signature.intact
    assert signature.matches


@pytest.mark.parametrize(
    "name",
    [
        "04-id/i2-display-name-confusion/i2-from-contains-signer-smime.eml",
        "04-id/i2-display-name-confusion/i2-from-is-only-a-name-smime.eml",
        "04-id/i2-display-name-confusion/i2-from-is-sender-signer-a-smime.eml",
        "04-id/i2-display-name-confusion/i2-from-is-signer-sender-a-smime.eml",
        "04-id/i3-from-sender-confusion/i3-from-is-sender-sender-signer-smime.eml",
        "04-id/i3-from-sender-confusion/i3-from-is-sender-signer-sender-smime.eml",
        "04-id/i3-from-sender-confusion/i3-from-sender-others-signer-smime.eml",
    ],
)
def test_confusing_senders_are_not_vouched_for(corpus: Path, name: str) -> None:
    """The reader sees the manager's name; the signature is somebody else's."""
    signature = johnny(corpus, name).signature

    assert signature is None or signature.verdict in (Verdict.MISMATCH, Verdict.INVALID)


@pytest.mark.parametrize(
    "name",
    [
        "01-cms/c1_eContent-confusion/eContent_confusion_refinement.eml",
        "01-cms/c2_multiple-signerInfos/multiple_signerInfos_prepend_johnny.eml",
        "01-cms/c3_no-signerInfos/no_signerInfos_detached.eml",
        "01-cms/crashes/crash_01.eml",
    ],
)
def test_cms_tricks_do_not_work(corpus: Path, name: str) -> None:
    """Content confusion, a second signer, no signer, no content."""
    story = johnny(corpus, name)

    assert story.fault or (
        story.signature is not None
        and story.signature.verdict in (Verdict.INVALID, Verdict.MISMATCH, Verdict.UNSIGNED)
    )


def test_no_ciphertext_is_opened_inside_an_attackers_multipart(corpus: Path) -> None:
    """Covert content (2019): the reply would carry the plaintext to the attacker."""
    folder = corpus / "covert-content" / "msg" / "01-enc" / "smime"
    attacks = sorted(folder.glob("01-reply-*.eml"))

    assert len(attacks) == 4
    for path in attacks:
        header, body = split_header(path.read_bytes())
        layer = layers.outermost(header, body)
        assert layer is None or not layer.whole


def test_nothing_in_the_corpus_surprises_us(corpus: Path) -> None:
    """Either a layer, or none, or an error with a name: never another exception, never slow."""
    anchors, moment = Anchors(frozenset()), datetime(2026, 6, 1, tzinfo=UTC)
    seen = 0
    for path in sorted(corpus.glob("*/msg/**/*.eml")):
        octets = path.read_bytes()
        if len(octets) > 1_000_000:
            continue
        with contextlib.suppress(GatepostError):
            opened(octets, [], anchors, moment)
        seen += 1
    assert seen > 200
