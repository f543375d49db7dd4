"""The files a new gateway starts with: configuration and first policy, commented."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gatepost.admin.setup.plan import Request

POLICY = """\
# How mail is treated.  `gatepost policy export` and `policy apply FILE` bring changes here.

[defaults]
sign = "always"               # or "never"
encrypt = "when-possible"     # or "mandatory" (refused if it cannot be), "never"

[triggers]
subject = ["[secure]"]        # in a subject: encryption is mandatory for this message

# [[rule]]
# name = "contracts"
# to = "partner.example"
# encrypt = "mandatory"

[inbound]
broken_signature = "deliver"  # marked; or "hold"
undecryptable = "deliver"     # marked; or "hold"
tag_subject = true            # "[signed]", "[encrypted]"
"""

_CONFIGURATION = """\
# Gatepost of {own}.  Every key: gatepost config schema.  Is it right: gatepost config validate.

[gateway]
hostname = {hostname}
# Every domain that is your own.
domains = [{domain}]
# Queue and database.
state = {state}
# Processes; one per core is plenty.
# workers = 1
# postmaster = "postmaster@{own}"

# Where mail is taken.  Your mail server sends outbound mail here, the world's arrives here.
[[listener]]
bind = {listen}
# "outbound", "inbound" or "both".
direction = "both"
# Who may send outbound mail.
trusted = [{trusted}]
# STARTTLS: "off", "offer" or "require".
tls = "offer"

# Where mail goes afterwards: to your mail server, towards the world.
[next_hop]
inbound = {mail_server}
outbound = {relay}
# outbound = {{ host = "smtp.example.net", port = 587, tls = "verified" }}

# Outbound mail for one domain takes another way.
# [[route]]
# domain = "partner.example"
# host = "mx.partner.example"

[tls]
certificate = {certificate}
key = {key}

# The key that seals private keys and queued mail.  Without it both are lost: keep a copy.
[vault]
key_file = {vault_key}

{federation}
# [authority]
# Keys of your people: "rsa2048", "rsa3072" or "p256".
# user_key = "rsa2048"

# [limits]
# message_size = "100MiB"
# recipients = 1000

# [queue]
# maximum_age = "5d"
# retry_first = "60s"
# retry_maximum = "1h"

[log]
# "text" or "json".
format = "text"
level = "info"
"""

_FEDERATION = """\
# What your web server fetches for the world: our announcement, and the CA's revocation lists.
[public]
bind = {bind}
# url = "http://pki.{own}"

# Get to know other companies' gateways without anybody's doing: encrypted mail with strangers.
# For it your web server passes https://{own}/.well-known/gatepost/ on to [public].
[federation]
announce = true
discover = true
"""
_ALONE = """\
# Get to know other companies' gateways without anybody's doing: encrypted mail with strangers.
# [public]
# bind = "127.0.0.1:10080"
# [federation]
# announce = true
# discover = true
"""


def configuration(
    request: Request, *, own: str, hostname: str, trusted: Sequence[str], files: Mapping[str, Path]
) -> str:
    """The configuration file's text; files beside it are named without their folder."""
    folder = files["configuration"].parent

    def place(name: str) -> str:
        path = files[name]
        return _text(str(path.relative_to(folder) if path.is_relative_to(folder) else path))

    return _CONFIGURATION.format(
        own=own,
        domain=_text(own),
        hostname=_text(hostname),
        listen=_text(request.listen),
        mail_server=_text(request.mail_server),
        relay=_text(request.relay),
        trusted=", ".join(map(_text, trusted)),
        state=place("state"),
        certificate=place("TLS certificate"),
        key=place("TLS key"),
        vault_key=place("vault key"),
        federation=_ALONE
        if request.federation == "off"
        else _FEDERATION.format(own=own, bind=_text(request.federation)),
    )


def _text(value: str) -> str:
    # A JSON string of printable characters is a TOML basic string.
    return json.dumps(value, ensure_ascii=False)
