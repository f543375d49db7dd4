"""Whom we trust: anchors for everybody, and partners whose CA counts for their domain only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, delete, select

from gatepost.certificate import Certificate
from gatepost.errors import ConfigError
from gatepost.mail.address import domain_key
from gatepost.pki.identity import is_self_issued
from gatepost.pki.validate import Anchors
from gatepost.store import judgement, schema
from gatepost.store.filing import epoch, file_certificate, moment, revive
from gatepost.store.record import EVERYWHERE, Partner, address_key
from gatepost.store.upsert import insert


def scope_key(domain: str) -> str:
    """The form in which a scope is filed: a domain's key, or * as it is."""
    return EVERYWHERE if domain == EVERYWHERE else address_key(f"@{domain}")[1:]


def divide(given: Sequence[Certificate]) -> tuple[tuple[Certificate, ...], tuple[Certificate, ...]]:
    """Tell anchors from intermediates in what an administrator gave us.

    Self-issued certificates are anchors; where there is none, the CAs given are anchors
    themselves, since somebody wanted exactly these to be trusted.
    """
    if not given:
        raise ConfigError("no certificate was given")
    strangers = [one for one in given if not one.is_authority and not is_self_issued(one)]
    if strangers:
        raise ConfigError(
            f"{strangers[0].name!r} is not a certification authority: import it for its address"
        )
    roots = tuple(one for one in given if is_self_issued(one))
    if not roots:
        return tuple(given), ()
    return roots, tuple(one for one in given if one not in roots)


def add_anchors(
    connection: Connection, given: Sequence[Certificate], scope: str, now: datetime
) -> None:
    """Trust these for a domain, or for every one."""
    roots, intermediates = divide(given)
    for one in roots:
        _file(connection, one, scope, root=True, now=now)
    for one in intermediates:
        _file(connection, one, scope, root=False, now=now)


def add_intermediate(connection: Connection, one: Certificate, now: datetime) -> None:
    """Know an intermediate of ours, which every path may lead through."""
    _file(connection, one, EVERYWHERE, root=False, now=now)


def _file(
    connection: Connection, one: Certificate, scope: str, *, root: bool, now: datetime
) -> None:
    file_certificate(connection, one, now)
    row = insert(connection, schema.anchor).values(
        fingerprint=one.fingerprint, scope=scope, root=root, added_at=epoch(now)
    )
    connection.execute(
        row.on_conflict_do_update(
            index_elements=["fingerprint", "scope"], set_={"root": row.excluded.root}
        )
    )


def remove_anchor(connection: Connection, fingerprint: str, scope: str) -> bool:
    """Stop trusting one; false when it was not trusted in this scope."""
    anchor = schema.anchor
    done = connection.execute(
        delete(anchor).where(and_(anchor.c.fingerprint == fingerprint, anchor.c.scope == scope))
    )
    return done.rowcount > 0


def scopes(connection: Connection) -> frozenset[str]:
    """Those that have any anchor."""
    return frozenset(connection.execute(select(schema.anchor.c.scope).distinct()).scalars())


def anchors(connection: Connection, scopes: Sequence[str]) -> Anchors:
    """Everything trusted in any of the scopes."""
    roots: set[Certificate] = set()
    own: set[Certificate] = set()
    intermediates: set[Certificate] = set()
    for der, root, scope in connection.execute(
        select(schema.certificate.c.der, schema.anchor.c.root, schema.anchor.c.scope)
        .join_from(schema.anchor, schema.certificate)
        .where(schema.anchor.c.scope.in_(scopes))
    ):
        (roots if root else intermediates).add(revive(der))
        if root and scope != EVERYWHERE:
            own.add(revive(der))
    denied = judgement.denied(connection)
    query = (
        select(schema.certificate.c.der)
        .join(schema.judged, schema.judged.c.fingerprint == schema.certificate.c.fingerprint)
        .where(schema.judged.c.allowed)
    )
    roots.update(revive(der) for (der,) in connection.execute(query))  # an anchor of itself
    return Anchors(
        frozenset(one for one in roots if one.fingerprint not in denied),
        frozenset(one for one in intermediates if one.fingerprint not in denied),
        own=frozenset(own),
        denied=denied,
    )


def add_partner(
    connection: Connection, domain: str, given: Sequence[Certificate], now: datetime, note: str
) -> Partner:
    """Know a partner, or add CAs to one already known."""
    scope = scope_key(domain)
    if scope == EVERYWHERE:
        raise ConfigError("a partner is one domain; trust an anchor for every domain instead")
    row = insert(connection, schema.partner).values(domain=scope, note=note, added_at=epoch(now))
    kept = {"note": row.excluded.note} if note else {"domain": row.excluded.domain}
    connection.execute(row.on_conflict_do_update(index_elements=["domain"], set_=kept))
    if given:
        add_anchors(connection, given, scope, now)
    return partners(connection, scope)[0]


def remove_partner(connection: Connection, domain: str) -> bool:
    """Forget a partner and stop trusting its CAs; false when there was none."""
    scope = scope_key(domain)
    connection.execute(delete(schema.anchor).where(schema.anchor.c.scope == scope))
    done = connection.execute(delete(schema.partner).where(schema.partner.c.domain == scope))
    return done.rowcount > 0


def partners(connection: Connection, domain: str | None = None) -> tuple[Partner, ...]:
    """Every partner, or the one of this domain, with what it is trusted by."""
    query = select(schema.partner).order_by(schema.partner.c.domain)
    if domain is not None:
        query = query.where(schema.partner.c.domain == domain_key(domain))
    found = []
    for row in connection.execute(query).all():
        trusted = anchors(connection, [row.domain])
        found.append(
            Partner(
                row.domain,
                row.note,
                moment(row.added_at),
                _ordered(trusted.roots),
                _ordered(trusted.intermediates),
            )
        )
    return tuple(found)


def _ordered(certificates: frozenset[Certificate]) -> tuple[Certificate, ...]:
    return tuple(sorted(certificates, key=lambda one: (one.name, one.fingerprint)))
