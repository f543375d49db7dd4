"""Remember correspondents by the time they signed what they told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MOMENT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables, and take over what is known: it was signed before it was seen."""
    op.create_table(
        "correspondent",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("announced", sa.Text(), nullable=False),
        sa.Column("announced_at", _MOMENT, nullable=False),
        sa.Column("seen_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_correspondent"),
    )
    op.create_table(
        "correspondent_use",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("signed_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("address", "name", name="pk_correspondent_use"),
    )
    op.execute(
        "INSERT INTO correspondent (address, announced, announced_at, seen_at) "
        "SELECT address, names, seen_at, seen_at FROM capability"
    )
