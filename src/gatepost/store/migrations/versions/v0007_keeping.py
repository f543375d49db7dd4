"""Keep evidence whole: time stamps, lists and answers; whom to ask anew; what is to be told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_MOMENT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add tables and columns; what older programs write stays right."""
    op.add_column("evidence", sa.Column("inside", sa.String(length=64), nullable=True))
    op.add_column("fetched_status", sa.Column("question", sa.LargeBinary(), nullable=True))
    op.add_column(
        "fetched_status", sa.Column("used_at", _MOMENT, nullable=False, server_default="0")
    )
    op.create_index("ix_fetched_status_due_at", "fetched_status", ["due_at"])
    op.create_table(
        "evidence_stamp",
        sa.Column("number", _MOMENT, autoincrement=False, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_evidence_stamp"),
    )
    op.create_table(
        "evidence_proof",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("last", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_evidence_proof"),
    )
    op.create_index("ix_evidence_proof_last", "evidence_proof", ["last"])
    op.create_table(
        "notice",
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("grave", sa.Boolean(), nullable=False),
        sa.Column("told_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_notice"),
    )
    op.create_index("ix_notice_told_at", "notice", ["told_at"])
