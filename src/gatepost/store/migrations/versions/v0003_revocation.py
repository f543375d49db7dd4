"""Revoked certificates, the lists that say so, what others publish, and alerts already given."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from cryptography import x509

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MOMENT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_BATCH = 500


def upgrade() -> None:
    """Add the tables, and the serial numbers by which a responder is asked."""
    op.add_column("certificate", sa.Column("serial", sa.Text(), nullable=True))
    _number()
    op.create_index("ix_certificate_serial", "certificate", ["serial"], unique=False)
    op.create_table(
        "revoked",
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("not_after", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("authority", "serial", name="pk_revoked"),
    )
    op.create_table(
        "published_list",
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("number", _MOMENT, nullable=False),
        sa.Column("this_update", _MOMENT, nullable=False),
        sa.Column("next_update", _MOMENT, nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("authority", name="pk_published_list"),
    )
    op.create_table(
        "fetched_status",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=True),
        sa.Column("tried_at", _MOMENT, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fetched_status"),
    )
    op.create_table(
        "alert",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "days", name="pk_alert"),
    )


def _number() -> None:
    table = sa.table("certificate", sa.column("fingerprint"), sa.column("der"), sa.column("serial"))
    connection = op.get_bind()
    last = ""
    while True:
        query = sa.select(table.c.fingerprint, table.c.der).where(table.c.fingerprint > last)
        rows = connection.execute(query.order_by(table.c.fingerprint).limit(_BATCH)).all()
        if not rows:
            return
        values = [{"which": name, "found": _serial(der)} for name, der in rows]
        change = sa.update(table).where(table.c.fingerprint == sa.bindparam("which"))
        connection.execute(change.values(serial=sa.bindparam("found")), values)
        last = rows[-1][0]


def _serial(der: bytes) -> str | None:
    try:
        return f"{x509.load_der_x509_certificate(der).serial_number:x}"
    except ValueError:
        return None
