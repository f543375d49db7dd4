"""A correspondent's certificate changes its issuer: mail is held until somebody looked at it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter, submit, verdict
from tests.peers.mailbox import Mail, Mailbox
from tests.peers.pair import ALICE, BOB, UK, US
from tests.unit.pki import forge

from gatepost.certificate import Certificate
from gatepost.cms import enveloped
from gatepost.smime import layers

LASTING = (-10.0, (datetime.now(UTC) - forge.NOW).days + 400.0)


@dataclass
class World:
    """One gateway, and both mailboxes right behind it."""

    us: Gateway
    alices: Mailbox
    bobs: Mailbox
    folder: Path

    def certified(self, issuer: str, days: float) -> tuple[Certificate, Path]:
        """A certificate of Bob's by one of his company's authorities, and its key."""
        one = forge.forge(f"Bob by {issuer}", issuer, emails=[BOB], days=(-5, LASTING[1] - days))
        key = forge.key("p256", f"Bob by {issuer}")
        file = self.folder / f"{issuer}.pem"
        form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        file.write_bytes(key.private_bytes(*form) + one.pem.encode())
        return one, file

    def hear_from_bob(self, one: Certificate, key: Path) -> None:
        """Bob writes a mail signed with this key, and the gateway learns his certificate."""
        letter = Letter(BOB, ALICE, "It is me")
        plain, signed = self.folder / "plain.eml", self.folder / "signed.eml"
        plain.write_bytes(letter.octets)
        self.us.command("sign", str(plain), "--key", str(key), "--output", str(signed))
        head, _, body = signed.read_bytes().partition(b"\r\n\r\n")
        added = head.decode().split("\r\n")
        submit(self.us.port, _Raw(BOB, ALICE, body=body, headers=tuple(added), id=letter.id))
        mail = self.alices.wait_for(letter.id)[0]
        assert verdict(mail.content, self.us.name) == "pass"
        self.us.wait_for("certificate.harvested", fingerprint=one.fingerprint)


class _Raw(Letter):
    """A letter whose header is already written."""

    @property
    def octets(self) -> bytes:
        return "\r\n".join(self.headers).encode() + b"\r\n\r\n" + self.body


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Lab() as lab:
        alices, bobs = lab.mailbox(), lab.mailbox()
        us = lab.gateway(US, alices.port, bobs.port)
        for name in ("Old CA", "New CA"):
            file = tmp_path / f"{name}.ca"
            file.write_text(forge.authority(name, days=LASTING).pem)
            us.command("partner", "add", UK, "--ca", str(file))
        us.policy('[defaults]\nencrypt = "mandatory"\nkey_change = "hold"\n')
        yield World(us, alices, bobs, tmp_path)


def readers(mail: Mail) -> set[int | None]:
    """The serial numbers of the certificates a mail is encrypted to."""
    header, _, body = mail.content.partition(b"\r\n\r\n")
    layer = layers.outermost(header + b"\r\n\r\n", body)
    assert layer is not None
    return {one.serial for one in enveloped.recipients(layer.octets)}


def test_mail_waits_until_the_change_is_accepted(world: World) -> None:
    """Whoever gets a certificate from any CA we trust would read what is written to Bob."""
    old, old_key = world.certified("Old CA", 30)
    new, new_key = world.certified("New CA", 0)
    world.hear_from_bob(old, old_key)
    first = Letter(ALICE, BOB, "Before")
    submit(world.us.port, first)
    assert readers(world.bobs.wait_for(first.id)[0]) >= {old.serial}
    world.hear_from_bob(new, new_key)
    second = Letter(ALICE, BOB, "After")
    submit(world.us.port, second)
    held = world.us.wait_for("certificate.held", address=BOB)[0]
    assert "its issuer is now 'CN=New CA' and was 'CN=Old CA'" in str(held)
    file = world.folder / "second.eml"
    file.write_bytes(second.octets)
    told = world.us.command("explain", str(file), "--from", ALICE, "--to", BOB, codes=(0, 1))
    assert "its issuer is now 'CN=New CA'" in told
    assert "WAIT" in told
    assert world.bobs.with_id(second.id) == []
    accepted = world.us.asked("cert", "accept", BOB)
    assert "its issuer is now" in str(accepted)
    arrived = readers(world.bobs.wait_for(second.id)[0])
    assert new.serial in arrived
    assert old.serial not in arrived
    third = Letter(ALICE, BOB, "And so on")
    submit(world.us.port, third)
    world.bobs.wait_for(third.id)
