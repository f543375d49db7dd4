"""Lay the tables of the directory.

Constraint names are spelled out: a migration must not change when the schema does.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table of the first release."""
    _certificates()
    _trust()
    _rest()


def _certificates() -> None:
    op.create_table(
        "certificate",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("authority", sa.Boolean(), nullable=False),
        sa.Column("not_before", _MOMENT, nullable=False),
        sa.Column("not_after", _MOMENT, nullable=False),
        sa.Column("added_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_certificate"),
    )
    op.create_index("ix_certificate_not_after", "certificate", ["not_after"], unique=False)
    op.create_index("ix_certificate_subject_id", "certificate", ["subject_id"], unique=False)
    op.create_table(
        "certificate_address",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("first_seen", _MOMENT, nullable=False),
        sa.Column("last_seen", _MOMENT, nullable=False),
        sa.CheckConstraint(
            "source in ('issued', 'harvested', 'imported', 'pinned')",
            name="ck_certificate_address_source",
        ),
        sa.ForeignKeyConstraint(
            ["fingerprint"],
            ["certificate.fingerprint"],
            name="fk_certificate_address_fingerprint",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("address", "fingerprint", name="pk_certificate_address"),
    )
    op.create_index(
        "ix_certificate_address_fingerprint", "certificate_address", ["fingerprint"], unique=False
    )
    op.create_table(
        "enrolment",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["fingerprint"],
            ["certificate.fingerprint"],
            name="fk_enrolment_fingerprint",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("address", "kind", name="pk_enrolment"),
    )
    op.create_table(
        "private_key",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("added_at", _MOMENT, nullable=False),
        sa.CheckConstraint(
            "purpose in ('sign', 'encrypt', 'both', 'authority')", name="ck_private_key_purpose"
        ),
        sa.ForeignKeyConstraint(
            ["fingerprint"],
            ["certificate.fingerprint"],
            name="fk_private_key_fingerprint",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_private_key"),
    )
    op.create_index("ix_private_key_key_id", "private_key", ["key_id"], unique=False)


def _trust() -> None:
    op.create_table(
        "partner",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("added_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("domain", name="pk_partner"),
    )
    op.create_table(
        "anchor",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("root", sa.Boolean(), nullable=False),
        sa.Column("added_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["fingerprint"],
            ["certificate.fingerprint"],
            name="fk_anchor_fingerprint",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("fingerprint", "scope", name="pk_anchor"),
    )
    op.create_index("ix_anchor_scope", "anchor", ["scope"], unique=False)


def _rest() -> None:
    op.create_table(
        "capability",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("seen_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_capability"),
    )
    op.create_table(
        "policy_revision",
        sa.Column("rev", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("toml", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rev", name="pk_policy_revision"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "setting",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_setting"),
    )
