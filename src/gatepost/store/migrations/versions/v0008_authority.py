"""Find the authorities among any number of certificates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add an index of the few."""
    op.create_index(
        "ix_certificate_authority",
        "certificate",
        ["name"],
        sqlite_where=sa.text("authority = 1"),
        postgresql_where=sa.text("authority"),
    )
