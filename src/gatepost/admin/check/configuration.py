"""Checks of the configuration file."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from gatepost.admin.check.registry import Answer, Installation, bad, check, good, skip, warn
from gatepost.config import Listener
from gatepost.config.endpoint import Network

_MACHINES = {4: 1 << 16, 6: 1 << 64}  # a network of load balancers has no more addresses
_WIDE = {4: 16, 6: 32}  # networks with a shorter prefix hold more than one organisation


@check("CFG-01", "configuration is right", needs_settings=False)
def is_right(place: Installation) -> Iterator[Answer]:
    """Reads gatepost.toml and compares it with its schema.

    Unknown keys, wrong types, missing next hops and loops are faults here, named by line and key.
    """
    if place.settings is None:
        for line in place.fault.split("\n"):
            yield bad(line, place.advice)
        return
    yield good(f"{place.path} is right")


@check("CFG-02", "configuration is safe from others")
def is_private(place: Installation) -> Iterator[Answer]:
    """The file decides where mail goes.

    Whoever may write it, or its folder, can send every mail elsewhere.
    """
    if place.path is None:
        yield skip("no file")
        return
    for path in (place.path, place.path.absolute().parent):
        mode = path.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield bad(f"{path} may be written by everybody", f"chmod o-w {path}")
        else:
            yield good(f"{path} may not be written by everybody")


@check("CFG-03", "trusted networks are narrow")
def is_narrow(place: Installation) -> Iterator[Answer]:
    """Peers in a listener's trusted networks may send outbound mail without further proof.

    A network wider than one organisation's makes the gateway an open relay.
    """
    for listener in place.right.listener:
        if not listener.outbound:
            continue
        for network in listener.trusted:
            if network.is_private or network.prefixlen >= _WIDE[network.version]:
                continue
            what = f"listener {listener.label} trusts {network}, {network.num_addresses} addresses"
            yield bad(what, "name only the mail server's address in trusted")
            break
        else:
            yield good(f"listener {listener.label} trusts {_listed(listener.trusted)}")


@check("CFG-05", "whoever is believed about clients is known")
def is_believed_narrowly(place: Installation) -> Iterator[Answer]:
    """Peers in proxies (PROXY) and xclient (XCLIENT) say who their client is, and are believed.

    Whoever may say that can say that he is trusted: name the load balancers alone.
    """
    for listener in place.right.listener:
        wide = [
            f"{name} {network}"
            for name, networks in (("proxies", listener.proxies), ("xclient", listener.xclient))
            for network in networks
            if network.num_addresses > _MACHINES[network.version]
        ]
        if wide:
            what = f"listener {listener.label} believes {', '.join(wide)}"
            yield (bad if any("/0" in one for one in wide) else warn)(
                what, "name only the addresses of your load balancers"
            )
        elif listener.proxies or listener.xclient:
            yield good(f"listener {listener.label} believes {_listed(_believed(listener))}")
    if not any(_believed(one) for one in place.right.listener):
        yield good("no listener believes anybody about its clients")


@check("CFG-04", "both directions lead somewhere")
def leads_somewhere(place: Installation) -> Iterator[Answer]:
    """A gateway usually stands in both directions.

    Without an inbound listener encrypted mail arrives unopened; without an outbound one
    nothing is ever signed.
    """
    listeners = place.right.listener
    for way, present in (
        ("outbound", any(one.outbound for one in listeners)),
        ("inbound", any(one.inbound for one in listeners)),
    ):
        if present:
            yield good(f"{way} mail has a listener")
        else:
            yield warn(f"no listener takes {way} mail", f'add a [[listener]] for "{way}" or "both"')


def _believed(listener: Listener) -> tuple[Network, ...]:
    return (*listener.proxies, *listener.xclient)


def _listed(networks: object) -> str:
    return ", ".join(map(str, networks)) if isinstance(networks, tuple) and networks else "nobody"
