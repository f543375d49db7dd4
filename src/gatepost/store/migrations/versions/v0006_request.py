"""Keep what certificates are asked for elsewhere, with the keys made for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MOMENT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "certificate_request",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("pkcs10", sa.LargeBinary(), nullable=False),
        sa.Column("replacing", sa.String(length=64), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("waits_for", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("due", _MOMENT, nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("held_until", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("address", "purpose", name="pk_certificate_request"),
        sa.CheckConstraint(
            "purpose in ('sign', 'encrypt', 'both')",
            name=op.f("ck_certificate_request_purpose"),
        ),
    )
    op.create_index("ix_certificate_request_due", "certificate_request", ["due"])
    op.create_index("ix_certificate_request_key_id", "certificate_request", ["key_id"])
