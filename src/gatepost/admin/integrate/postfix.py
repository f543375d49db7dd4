"""Postfix: settings and services by `postconf`, with an undo that restores what was there.

Traps (FILTER_README, SMTPD_PROXY_README): mail that comes back must not be filtered again,
not lose recipients to checks made before, and not be converted after it was signed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gatepost.admin.integrate.file import File, filled, pattern, shell, word
from gatepost.admin.integrate.site import Site

# What comes back was checked when it came in.
_BACK = (
    "content_filter=",
    "smtpd_proxy_filter=",
    "receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters",
    "smtpd_client_restrictions=",
    "smtpd_helo_restrictions=",
    "smtpd_sender_restrictions=",
    "smtpd_recipient_restrictions=permit_mynetworks,reject",
    "smtpd_relay_restrictions=permit_mynetworks,reject",
    "smtpd_data_restrictions=",
    "smtpd_end_of_data_restrictions=",
    "smtpd_client_connection_count_limit=0",
    "smtpd_client_connection_rate_limit=0",
    "strict_rfc821_envelopes=yes",
)
# To the gateway: as it is, with the client's name.
_AWAY = (
    "smtp_send_xforward_command=yes",
    "disable_mime_output_conversion=yes",
    "disable_dns_lookups=yes",
)
_SMIME = r"application\/(x-)?pkcs7-(mime|signature)"


@dataclass(slots=True)
class Changes:
    """What is set in main.cf and master.cf, and files beside them."""

    settings: dict[str, str] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)  # before what a list holds already
    services: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)


def files(site: Site, topology: str) -> tuple[File, ...]:
    """The scripts for one topology."""
    changes = Changes()
    {
        "after-queue": _after_queue,
        "before-queue": _before_queue,
        "smart-host": _smart_host,
        "mx": _mx,
        "parallel": _parallel,
    }[topology](site, changes)
    return (
        File("apply.sh", _script("postfix-apply.sh", changes, site, topology), 0o755),
        File("undo.sh", _script("postfix-undo.sh", changes, site, topology), 0o755),
    )


def _after_queue(site: Site, changes: Changes) -> None:
    _round_trip(site, changes)
    changes.settings["content_filter"] = f"gatepost:{_there(site)}"
    _no_impostors(site, changes)


def _before_queue(site: Site, changes: Changes) -> None:
    _service_back(site, changes)
    changes.settings["smtpd_proxy_filter"] = f"{word(site.outbound.host)}:{site.outbound.port}"
    changes.settings["smtpd_proxy_options"] = "speed_adjust"
    changes.settings["smtpd_proxy_timeout"] = "600s"  # look-ups, and the next hop's own time
    _no_impostors(site, changes)


def _smart_host(site: Site, changes: Changes) -> None:
    changes.settings["relayhost"] = _there(site)
    changes.settings["smtp_send_xforward_command"] = "yes"
    changes.settings["disable_mime_output_conversion"] = "yes"
    if site.inbound is not None:
        _mx(site, changes)


def _mx(site: Site, changes: Changes) -> None:
    gateway = site.inbound or site.outbound
    host = word(f"[{gateway.host}]" if ":" in gateway.host else gateway.host)
    changes.settings["smtpd_authorized_xforward_hosts"] = host
    # All the world's mail comes from one address now.
    changes.settings["smtpd_client_event_limit_exceptions"] = f"$mynetworks, {host}"


def _parallel(site: Site, changes: Changes) -> None:
    _round_trip(site, changes)
    away = f"FILTER gatepost:{_there(site)}"
    changes.tables["gatepost-headers"] = (
        f"/^Content-Type:.*{_SMIME}/ {away}\n"
        f"/^Content-Type:[[:space:]]*multipart\\/signed/ {away}\n"
        f"/^Content-Type:[[:space:]]*application\\/octet-stream.*\\.p7[ms]/ {away}\n"
    )
    changes.tables["gatepost-senders"] = f"/@({pattern(site.domains)})$/ {away}\n"
    changes.first["header_checks"] = "regexp:$config_directory/gatepost-headers"
    changes.first["smtpd_sender_restrictions"] = (
        "check_sender_access regexp:$config_directory/gatepost-senders, "
        + _impostors(site, changes)
    )


def _round_trip(site: Site, changes: Changes) -> None:
    _service_back(site, changes)
    tls = "none" if site.outbound.is_local else "may"
    options = (*_AWAY, f"smtp_tls_security_level={tls}")
    changes.services["gatepost/unix"] = _service("gatepost unix - - n - 10 smtp", options)


def _service_back(site: Site, changes: Changes) -> None:
    back = site.back
    host = word(f"[{back.host}]" if ":" in back.host else back.host)
    name = f"{host}:{back.port}"
    trusted = "127.0.0.0/8,[::1]/128" if back.is_local else host
    options = (*_BACK, f"mynetworks={trusted}", f"smtpd_authorized_xforward_hosts={trusted}")
    changes.services[f"{name}/inet"] = _service(f"{name} inet n - n - - smtpd", options)


def _no_impostors(site: Site, changes: Changes) -> None:
    """The gateway hears everything from Postfix, so Postfix must know whom it believes."""
    changes.first["smtpd_sender_restrictions"] = _impostors(site, changes)


def _impostors(site: Site, changes: Changes) -> str:
    lines = (f"/@({pattern(site.domains)})$/ REJECT our own domain, and you are not ours\n",)
    changes.tables["gatepost-own"] = "".join(lines)
    return (
        "permit_mynetworks, permit_sasl_authenticated,"
        " check_sender_access regexp:$config_directory/gatepost-own"
    )


def _there(site: Site) -> str:
    return word(site.outbound.bracketed)


def _service(line: str, options: tuple[str, ...]) -> str:
    return " ".join((line, *(f"-o {one}" for one in options)))


def _script(template: str, changes: Changes, site: Site, topology: str) -> str:
    values = {
        "topology": topology,
        "config": shell(str(site.config)),
        "names": " ".join((*changes.settings, *changes.first)),
        "settings": _lines(f"set_to {k} {shell(v)}" for k, v in changes.settings.items()),
        "first": _lines(f"put_first {k} {shell(v)}" for k, v in changes.first.items()),
        "services": _lines(
            f'postconf -c "$etc" -M {shell(f"{k}={v}")}' for k, v in changes.services.items()
        ),
        "tables": _lines(
            f"printf '%s' {shell(v)} >\"$etc/{k}\"" for k, v in changes.tables.items()
        ),
        "service_names": " ".join(map(shell, changes.services)),
        "table_names": " ".join(changes.tables),
    }
    return filled(template, values)


def _lines(commands: Iterable[str]) -> str:
    return "\n".join(commands) or ":"
