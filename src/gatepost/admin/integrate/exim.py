"""Exim: fragments for its sections, with the place of each.

Traps: Exim has no XFORWARD; a router that sends to this machine needs `self = send` and
`allow_localhost`; what comes back is known by the port it came in at; notices Exim writes
itself must not go through the filter that may have caused them.
"""

from __future__ import annotations

from gatepost.admin.integrate.file import File, filled, pattern, word
from gatepost.admin.integrate.site import Place, Site

_SMIME = r"application/(x-)?pkcs7-|multipart/signed|\.p7[ms]"


def files(site: Site, topology: str) -> tuple[File, ...]:
    """The fragments for one topology."""
    main, acl, router = {
        "after-queue": _after_queue,
        "before-queue": _before_queue,
        "smart-host": _smart_host,
        "mx": _mx,
        "parallel": _parallel,
    }[topology](site)
    parts = {"main": main, "acl": acl, "router": router}
    if router:
        parts["transport"] = _transport(site)
    made = [File(f"gatepost-{name}.conf", text) for name, text in parts.items() if text]
    return (File("README", _readme(made, site, topology)), *made)


def _after_queue(site: Site) -> tuple[str, str, str]:
    return _ports(site), _impostors(site), _router(site.outbound, _not_again(site))


def _before_queue(site: Site) -> tuple[str, str, str]:
    """Cut-through delivery: the gateway's answer to the message is the answer to the client."""
    main, acl, router = _after_queue(site)
    port = site.back.port
    cut = (
        "# Before the first accept of acl_check_rcpt.\n"
        f"warn\n  condition = ${{if !eq{{$received_port}}{{{port}}}}}\n"
        "  control = cutthrough_delivery/defer=pass\n"
    )
    return main, acl + cut, router


def _smart_host(site: Site) -> tuple[str, str, str]:
    _, acl, _ = _mx(site)
    return "", acl, _router(site.outbound, domains="! +local_domains")


def _mx(site: Site) -> tuple[str, str, str]:
    gateway = word((site.inbound or site.outbound).host)
    acl = (
        "# Before checks of the client (DNS lists, SPF, rates): all the world's mail comes from\n"
        "# the gateway now.  At the beginning of acl_check_rcpt.\n"
        f"accept\n  hosts = <; {gateway}\n  domains = +local_domains\n  endpass\n"
        "  verify = recipient\n"
    )
    return "", acl, ""


def _parallel(site: Site) -> tuple[str, str, str]:
    """Ours that leaves, and whatever looks like S/MIME."""
    ours = _either(
        "eq{$sender_host_address}{}",
        "match_ip{$sender_host_address}{+relay_from_hosts}",
        "def:authenticated_id",
    )
    own_name = f"match{{$sender_address_domain}}{{\\N(?i)^({pattern(site.domains)})$\\N}}"
    smime = f"match{{$h_content-type:}}{{\\N(?i){_SMIME}\\N}}"
    wanted = _all(_not_again(site), _either(_all(own_name, ours), smime))
    return _ports(site), _impostors(site), _router(site.outbound, wanted)


def _not_again(site: Site) -> str:
    """Neither what the gateway handed back nor what Exim writes itself."""
    own = _all("eq{$sender_address}{}", "eq{$sender_host_address}{}")
    return _all(f"!eq{{$received_port}}{{{site.back.port}}}", f"!{own}")


def _all(*conditions: str) -> str:
    return "and{" + "".join(f"{{{one}}}" for one in conditions) + "}"


def _either(*conditions: str) -> str:
    return "or{" + "".join(f"{{{one}}}" for one in conditions) + "}"


def _ports(site: Site) -> str:
    back = site.back
    return (
        "# Beside the ports there are, Exim must listen where the gateway hands mail back:\n"
        f"#   daemon_smtp_ports = 25 : 587 : {back.port}\n"
        "# and on loopback only for that one:\n"
        f"#   local_interfaces = <; 0.0.0.0.25 ; 0.0.0.0.587 ; {word(back.host)}.{back.port}\n"
    )


def _impostors(site: Site) -> str:
    domains = " : ".join(map(word, site.domains))
    return (
        "# At the beginning of acl_check_rcpt: the gateway hears everything from Exim, so Exim\n"
        "# must know whom it believes.\n"
        f"deny\n  message = our own domain, and you are not ours\n  sender_domains = {domains}\n"
        "  ! hosts = : +relay_from_hosts\n  ! authenticated = *\n"
    )


def _router(there: Place, condition: str = "", domains: str = "*") -> str:
    host = word(there.host)
    route = f"<; * {host}" if ":" in host else f"* {host}"
    lines = [
        "# The first router.",
        "gatepost:",
        "  driver = manualroute",
        f"  domains = {domains}",
        *((f"  condition = ${{if {condition}}}",) if condition else ()),
        f"  route_list = {route} byname",
        "  transport = gatepost_smtp",
        "  self = send",
        "  no_more",
    ]
    return "\n".join(lines) + "\n"


def _transport(site: Site) -> str:
    quiet = "  hosts_avoid_tls = *\n" if site.outbound.is_local else ""
    return (
        f"gatepost_smtp:\n  driver = smtp\n  port = {site.outbound.port}\n  allow_localhost\n"
        f"  max_rcpt = 1000\n  hosts_try_fastopen =\n{quiet}"
    )


def _readme(made: list[File], site: Site, topology: str) -> str:
    where = {
        "main": "the beginning of the main section",
        "acl": "acl_check_rcpt (each part says where)",
        "router": "the line after `begin routers`",
        "transport": "the line after `begin transports`",
    }
    rows = "\n".join(
        f"  {one.name:24} {where[one.name.removeprefix('gatepost-').removesuffix('.conf')]}"
        for one in made
    )
    values = {"topology": topology, "config": str(site.config), "rows": rows}
    return filled("exim.txt", values)
