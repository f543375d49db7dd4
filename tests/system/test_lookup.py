"""Mail to people whose certificates are only outside, through a running gateway."""

import secrets
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter, submit, verdict
from tests.peers.mailbox import Mailbox as Server
from tests.peers.name_server import NameServer, Zone
from tests.peers.pages import Pages
from tests.peers.postfix import free_port
from tests.peers.slapd import BASE, Slapd, person
from tests.pki_builder import User, company, company_root
from tests.unit.pki.places import pointing

from gatepost.cms import signed
from gatepost.lookup import smimea
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.mime.entity import split_header
from gatepost.smime.decrypt import decrypt
from gatepost.smime.sign import sign

pytestmark = [pytest.mark.peer("slapd"), pytest.mark.peer("unbound")]

US, LDAP, DNS = "xyz.us.example", "ldap.example", "smimea.example"
ALICE = f"alice@{US}"
SECRET = b"Our client accepts the offer."


def user(address: str) -> User:
    """Somebody whose directory knows the certificate above his."""
    return company().user(address, kind="p256")


BOB, CAROL, DORA = user(f"bob@{LDAP}"), user(f"carol@{DNS}"), user(f"dora@{LDAP}")
FRIDA = user(f"frida@{LDAP}")


def announced(who: User) -> bytes:
    """What somebody's program puts into a directory: certificates, and what it can do."""
    made = signed.sign(Octets(b""), [who.signer], None, detached=True, when=datetime.now(UTC))
    return join(made)


@dataclass
class World:
    """A gateway, what it may ask, and the mail server to which its mail goes."""

    us: Gateway
    directory: Slapd
    site: Pages
    there: Server
    here: Server
    folder: Path
    chased: User  # whose issuer only the web knows

    def sent(self, to: User) -> bytes:
        """A mail arrives encrypted, and its recipient can open it."""
        letter = Letter(ALICE, to.certificate.emails[0], body=SECRET + b"\r\n")
        assert submit(self.us.port, letter) == {}
        (mail,) = self.there.wait_for(letter.id)
        assert SECRET not in mail.content
        header, body = split_header(mail.content)
        opened = decrypt(header, Octets(body), (to.decryptor,), entropy=secrets.token_bytes)
        assert SECRET in join(opened.body)
        return mail.content

    def refused(self, to: str) -> tuple[int, str]:
        """A mail does not leave; what its author hears."""
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            submit(self.us.port, Letter(ALICE, to, body=SECRET + b"\r\n"))
        code, said = caught.value.recipients[to]
        return code, said.decode()

    def decided(self, to: str) -> dict[str, Any]:
        """What the gateway says of a mail to somebody."""
        path = self.folder.parent / "mail.eml"
        path.write_bytes(Letter(ALICE, to).octets)
        said = self.us.asked("explain", str(path), "--from", ALICE, "--to", to)
        found: dict[str, Any] = said["outcomes"][0]["decisions"][0]
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Started once."""
    base = tmp_path_factory.mktemp("lookup")
    folder = base / "drop"
    folder.mkdir()
    with Lab() as lab, Pages() as site:
        made = company("Chased").user(f"chased@{LDAP}", kind="p256")
        chased = pointing(made.certificate, company("Chased"), site.url("ca.cer"))
        site.pages["ca.cer"] = company("Chased").certificate.der
        people = [
            person("bob", mail=[f"bob@{LDAP}"], userCertificate_binary=[BOB.certificate.der]),
            person("chased", mail=[f"chased@{LDAP}"], userCertificate_binary=[chased.der]),
            person("frida", mail=[f"frida@{LDAP}"], userSMIMECertificate=[announced(FRIDA)]),
            person("eve", mail=[f"eve@{LDAP}"], userCertificate_binary=[BOB.certificate.der]),
        ]
        there, ours = lab.mailbox(), lab.mailbox()
        with (
            Slapd(base / "slapd", people) as directory,
            NameServer(base / "dns", _zones()) as names,
        ):
            tables = f"""[resolver]
servers = ["127.0.0.1:{names.port}"]
[[ldap]]
url = "ldap://127.0.0.1:{directory.port}"
base = "{BASE}"
starttls = false
timeout = "20s"
domains = ["{LDAP}"]
[lookup]
smimea = true
patience = "40s"
aia = true
private = ["127.0.0.0/8"]
folder = "{folder}"
[log]"""
            port = free_port()
            us = lab.gateway(US, ours.port, there.port, port=port, edits={"[log]": tables})
            us.policy('[defaults]\nencrypt = "mandatory"\n')
            for name in ("Example", "Chased"):
                anchor = base / f"{name}.pem"
                anchor.write_text(company_root(name).certificate.pem)
                us.command("partner", "add", LDAP, "--ca", str(anchor))
            issuing = base / "issuing.pem"
            issuing.write_text(company().certificate.pem)
            us.command("cert", "import", str(issuing))
            known = User(chased, made.key, ())
            yield World(us, directory, site, there, ours, folder, known)


def _zones() -> list[Zone]:
    """Carol's record in a zone that is signed, one that is not, and one that was changed."""
    label = smimea.names(Mailbox("carol", DNS))[0].removesuffix(f".{DNS}")
    octets = CAROL.certificate.der.hex()
    record = f"{label} SMIMEA 3 0 0 {octets}"
    return [
        Zone(DNS, [record]),
        Zone("plain.example", [record], signed=False),
        Zone("forged.example", [record], forged={octets[-16:]: "0" * 16}),
    ]


def test_only_in_ldap(world: World) -> None:
    """The certificate is in a directory anybody may ask, and mail to Bob would be refused."""
    world.sent(BOB)
    assert world.decided(f"bob@{LDAP}")["certificate"]["source"] == "ldap"


def test_what_a_directory_says_of_a_program(world: World) -> None:
    """Frida never wrote to us, and would get unauthenticated encryption for ever."""
    world.sent(FRIDA)
    assert b"smime-type=authEnveloped-data" in world.sent(FRIDA)


def test_its_issuer_is_fetched(world: World) -> None:
    """A directory rarely holds what is above its people's certificates."""
    world.sent(world.chased)
    assert world.site.asked.count("ca.cer") == 1
    assert world.us.asked("cert", "list", "Chased Issuing CA")


def test_the_issuer_of_a_signer_is_fetched(world: World) -> None:
    """His mail would be nobody's, and he could never be answered encrypted."""
    above = company("Chased").authority("Chased Signing CA")
    shown = pointing(above.certificate, company("Chased"), world.site.url("ca.cer"))
    world.site.pages["signing.cer"] = shown.der
    made = above.user(f"erik@{LDAP}", kind="p256")
    certificate = pointing(made.certificate, above, world.site.url("signing.cer"))
    letter = Letter(f"erik@{LDAP}", ALICE)
    header, body = split_header(letter.octets)
    signer = User(certificate, made.key, ()).signer
    header, content = sign(
        header, Octets(body), signer, now=datetime.now(UTC), names=lambda: secrets.token_hex(8)
    )
    with smtplib.SMTP("127.0.0.1", world.us.port, timeout=60) as client:
        client.sendmail(letter.sender, [ALICE], header + join(content))
    (mail,) = world.here.wait_for(letter.id)
    assert verdict(mail.content, world.us.name) == "pass"
    world.us.wait_for("certificate.harvested", address=letter.sender)


def test_only_in_the_dns(world: World) -> None:
    """What DNSSEC proves is used; what it does not, or what was changed, never."""
    world.sent(CAROL)
    assert world.decided(f"carol@{DNS}")["certificate"]["source"] == "smimea"
    code, said = world.refused("carol@plain.example")
    assert code == 550
    assert "no certificate is known (smimea: its record is not proven by DNSSEC)" in said
    code, said = world.refused("carol@forged.example")
    assert code == 451
    assert "cannot be looked up now (smimea: " in said


def test_whose_it_is_not(world: World) -> None:
    """A directory that gives Bob's certificate for Eve; the record tells why it was left."""
    code, said = world.refused(f"eve@{LDAP}")
    assert code == 550
    assert f"it is not issued to eve@{LDAP}" in said
    (rejected,) = world.decided(f"eve@{LDAP}")["rejected"]
    assert (rejected["source"], rejected["emails"]) == ("ldap", [f"bob@{LDAP}"])
    assert rejected["reason"] == f"it is not issued to eve@{LDAP}"


def test_a_directory_that_is_away(world: World) -> None:
    """Mail that needs encryption waits for it, and is never sent in clear."""
    world.directory.__exit__()
    try:
        code, said = world.refused(f"frank@{LDAP}")
        assert code == 451
        assert "cannot be looked up now (ldap 127.0.0.1: Connection refused)" in said
    finally:
        world.directory.start()
    code, _ = world.refused(f"gina@{LDAP}")
    assert code == 550


def test_put_into_the_folder(world: World) -> None:
    """Another system's export would need somebody at a keyboard."""
    (world.folder / "bad.cer").write_bytes(b"nothing")
    (world.folder / "dora.pem").write_text(DORA.certificate.pem)
    world.us.wait_for("folder.taken", file="dora.pem")
    world.us.wait_for("folder.rejected", file="bad.cer")
    world.sent(DORA)
    assert (world.folder / "rejected" / "bad.cer.txt").read_text().startswith("bad.cer: ")
