"""One pretend company: a mail server and the real gateway service, in a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from gatepost.certificate import Certificate
from gatepost.config import Settings, parse
from gatepost.demo.mailserver import Arrived, MailServer
from gatepost.engine.journal import Journal
from gatepost.engine.service import Service, Stores, utc_now
from gatepost.enrol.local import LocalAuthority
from gatepost.mail.address import Mailbox
from gatepost.store.directory import Directory
from gatepost.vault.kek import generate_file

GRACE = timedelta(seconds=2)

CONFIGURATION = """\
[gateway]
hostname = "gateway.{domain}"
domains = ["{domain}"]
state = "{state}"

[[listener]]
name = "from our people"
bind = "127.0.0.1:0"
direction = "outbound"

[[listener]]
name = "from the world"
bind = "127.0.0.1:0"
direction = "inbound"

[next_hop]
inbound = {{ host = "127.0.0.1", port = {mail_server}, tls = "none" }}
outbound = {{ host = "127.0.0.1", port = {world}, tls = "none" }}

[vault]
key_file = "{key}"

[revocation]
inbound = "off"  # nobody is asked beyond this machine
outbound = "off"
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who writes and reads."""

    name: str
    address: str

    @property
    def mailbox(self) -> Mailbox:
        """The address, parsed."""
        return Mailbox.parse(self.address)


class Company:
    """A domain, one person, a mail server and a gateway."""

    def __init__(self, folder: Path, domain: str, person: Person, arrived: Arrived) -> None:
        self.domain = domain
        self.person = person
        self.server = MailServer(f"mail.{domain}", domain, arrived)
        self.journal = Journal(utc_now)
        self._folder = folder
        self._service: Service | None = None

    @property
    def service(self) -> Service:
        """The running gateway."""
        assert self._service is not None
        return self._service

    @property
    def submission_port(self) -> int:
        """Where the company's own mail server hands mail to the gateway."""
        return self.service.port("from our people")

    @property
    def public_port(self) -> int:
        """Where the world reaches the gateway."""
        return self.service.port("from the world")

    async def start(self, world: int) -> Certificate:
        """Start both; `world` is the port that outgoing mail leaves by.  Gives the company's CA."""
        await self.server.start()
        settings = self._settings(world)
        root = _found(settings, self.domain)
        self._service = Service(settings, journal=self.journal)
        await self._service.start()
        return root

    def trust(self, domain: str, root: Certificate) -> None:
        """Trust a partner's CA for that partner's domain (`gatepost partner add`)."""
        self.directory.add_partner(domain, [root], now=utc_now())

    def rule(self, policy: str) -> None:
        """Put a policy in force (`gatepost policy apply`)."""
        self.directory.policy.apply(policy, author="demo", note="demo", now=utc_now())

    @property
    def directory(self) -> Directory:
        """The gateway's directory."""
        return self.service.stores.directory

    async def stop(self) -> None:
        """Stop both."""
        if self._service is not None:
            await self._service.stop(GRACE)
        await self.server.stop()

    def _settings(self, world: int) -> Settings:
        self._folder.mkdir(mode=0o700, parents=True)
        (self._folder / "state").mkdir(mode=0o700)
        key = self._folder / "vault.key"
        generate_file(key)
        text = CONFIGURATION.format(
            domain=self.domain,
            state=self._folder / "state",
            mail_server=self.server.port,
            world=world,
            key=key,
        )
        path = self._folder / "gatepost.toml"
        path.write_text(text, encoding="utf-8")
        return parse(text, path)


def _found(settings: Settings, domain: str) -> Certificate:
    """Found the company's own CA, as `gatepost init` does."""
    stores = Stores.open(settings)
    try:
        company = f"xyz ({domain})"
        return LocalAuthority.create(
            stores.directory, stores.vault, company, [domain], now=utc_now()
        ).root
    finally:
        stores.close()
