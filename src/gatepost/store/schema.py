"""The tables of the directory: whom we know, by which certificate, and whom we trust.

Moments are whole seconds since 1970 UTC; addresses are `Mailbox.key`, or `@domain` for what
speaks for a whole domain.  Migrations bring any released form here; HEAD names the last.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

HEAD = "0008"
OLDEST = "0001"  # the oldest program that works on this schema, see `store.database`

_MOMENT = BigInteger().with_variant(Integer(), "sqlite")  # year 9999 needs more than 32 bits

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _fingerprint(*, primary: bool = False) -> Column[str]:
    return Column(
        "fingerprint",
        String(64),
        ForeignKey("certificate.fingerprint", ondelete="CASCADE"),
        primary_key=primary,
        nullable=False,
    )


certificate = Table(
    "certificate",
    metadata,
    Column("fingerprint", String(64), primary_key=True),  # SHA-256 of the DER, hex
    Column("der", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),  # for people: common name or first address
    Column("subject", Text, nullable=False),  # RFC 4514
    Column("issuer", Text, nullable=False),
    Column("subject_id", String(64), nullable=False),  # SHA-256 of the DER Name: finds issuers
    Column("authority", Boolean, nullable=False),
    Column("not_before", _MOMENT, nullable=False),
    Column("not_after", _MOMENT, nullable=False),
    Column("added_at", _MOMENT, nullable=False),
    Column("serial", Text),  # hex; empty where a program of schema 0002 filed it
    Index(None, "subject_id"),
    Index(None, "not_after"),
    Index(None, "serial"),
    Index(
        "ix_certificate_authority",  # the few among the many
        "name",
        sqlite_where=text("authority = 1"),
        postgresql_where=text("authority"),
    ),
)

certificate_address = Table(
    "certificate_address",
    metadata,
    Column("address", Text, primary_key=True),
    _fingerprint(primary=True),
    Column("source", String(16), nullable=False),
    Column("first_seen", _MOMENT, nullable=False),
    Column("last_seen", _MOMENT, nullable=False),
    CheckConstraint("source in ('issued', 'harvested', 'imported', 'pinned')", name="source"),
    Index(None, "fingerprint"),
)

private_key = Table(
    "private_key",
    metadata,
    _fingerprint(primary=True),
    Column("key_id", String(64), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # PKCS #8 under the key-encryption key
    Column("added_at", _MOMENT, nullable=False),
    CheckConstraint("purpose in ('sign', 'encrypt', 'both', 'authority')", name="purpose"),
    Index(None, "key_id"),
)

enrolment = Table(
    "enrolment",
    metadata,
    Column("address", Text, primary_key=True),
    Column("kind", String(16), primary_key=True),  # one current certificate per address and kind
    _fingerprint(),
    Column("at", _MOMENT, nullable=False),
)

partner = Table(
    "partner",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("note", Text, nullable=False, server_default=""),
    Column("added_at", _MOMENT, nullable=False),
)

anchor = Table(
    "anchor",
    metadata,
    _fingerprint(primary=True),
    Column("scope", Text, primary_key=True),  # a partner's domain, or * for every domain
    Column("root", Boolean, nullable=False),  # false: an intermediate that came with it
    Column("added_at", _MOMENT, nullable=False),
    Index(None, "scope"),
)

policy_revision = Table(
    "policy_revision",
    metadata,
    Column("rev", Integer, primary_key=True, autoincrement=True),
    Column("at", _MOMENT, nullable=False),
    Column("author", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("toml", Text, nullable=False),
    sqlite_autoincrement=True,
)

# What 0001 kept of correspondents; still here for programs that know no later schema.
capability = Table(
    "capability",
    metadata,
    Column("address", Text, primary_key=True),
    Column("names", Text, nullable=False),  # algorithm names, sorted, separated by spaces
    Column("seen_at", _MOMENT, nullable=False),
)

correspondent = Table(
    "correspondent",
    metadata,
    Column("address", Text, primary_key=True),
    Column("announced", Text, nullable=False),  # algorithm names, sorted, separated by spaces
    Column("announced_at", _MOMENT, nullable=False),  # when that was signed; 0: not dated
    Column("seen_at", _MOMENT, nullable=False),
)

correspondent_use = Table(
    "correspondent_use",
    metadata,
    Column("address", Text, primary_key=True),
    Column("name", String(64), primary_key=True),  # of an algorithm, or of another habit
    Column("signed_at", _MOMENT, nullable=False),
)

setting = Table(
    "setting",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# What our own authorities took back.  It outlives the certificate it is about.
revoked = Table(
    "revoked",
    metadata,
    Column("authority", String(64), primary_key=True),  # fingerprint of the issuer's certificate
    Column("serial", Text, primary_key=True),  # hex
    Column("fingerprint", String(64), nullable=False),
    Column("reason", String(32), nullable=False),  # RFC 5280 section 5.3.1
    Column("at", _MOMENT, nullable=False),
    Column("not_after", _MOMENT, nullable=False),
)

published_list = Table(
    "published_list",
    metadata,
    Column("authority", String(64), primary_key=True),
    Column("number", _MOMENT, nullable=False),  # never used twice
    Column("this_update", _MOMENT, nullable=False),
    Column("next_update", _MOMENT, nullable=False),
    Column("der", LargeBinary, nullable=False),
)

# What others publish: the last good octets of each place, and how the last try went.
fetched_status = Table(
    "fetched_status",
    metadata,
    Column("id", String(64), primary_key=True),  # SHA-256 of the question
    Column("kind", String(8), nullable=False),  # crl or ocsp
    Column("place", Text, nullable=False),
    Column("der", LargeBinary),
    Column("tried_at", _MOMENT, nullable=False),
    Column("due_at", _MOMENT, nullable=False),  # before, nobody asks again
    Column("fault", Text, nullable=False),  # of the last try; empty when it went well
    Column("question", LargeBinary),  # what a responder is asked; none where a list is fetched
    Column("used_at", _MOMENT, nullable=False, server_default="0"),  # to the day, by mail
    Index(None, "due_at"),
)

alert = Table(
    "alert",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("days", Integer, primary_key=True),  # before the end
    Column("at", _MOMENT, nullable=False),
)

# What mail to an address was last encrypted with; it outlives the certificate.
known_key = Table(
    "known_key",
    metadata,
    Column("address", Text, primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("issuer", Text, nullable=False),  # RFC 4514
    Column("bits", Integer, nullable=False),  # of security
    Column("rivals", Text, nullable=False),  # fingerprints, separated by spaces
    Column("at", _MOMENT, nullable=False),
)

# An administrator's word on one certificate, which need not be here yet.
judged = Table(
    "judged",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("allowed", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at", _MOMENT, nullable=False),
)

# What verified signatures were judged by, see `store.chain`.
evidence = Table(
    "evidence",
    metadata,
    Column("number", _MOMENT, primary_key=True, autoincrement=False),
    Column("at", _MOMENT, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # empty: removed, its place in the chain stays
    Column("inside", String(64)),  # SHA-256 of the record; none in rows of schema 0006
)

# RFC 3161 tokens over a record's digest, which covers every record before it.
evidence_stamp = Table(
    "evidence_stamp",
    metadata,
    Column("number", _MOMENT, primary_key=True, autoincrement=False),
    Column("at", _MOMENT, nullable=False),
    Column("token", LargeBinary, nullable=False),
)

# Lists and OCSP answers that records name by their digests: each once.
evidence_proof = Table(
    "evidence_proof",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the octets
    Column("der", LargeBinary, nullable=False),
    Column("last", _MOMENT, nullable=False),  # the newest record that names it
    Index(None, "last"),
)

# What the postmaster is to hear of, each thing once, see `store.notice`.
notice = Table(
    "notice",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("at", _MOMENT, nullable=False),
    Column("event", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("grave", Boolean, nullable=False),
    Column("told_at", _MOMENT),
    Index(None, "told_at"),
)

# What certificates are asked for at other authorities, see `store.request`.
certificate_request = Table(
    "certificate_request",
    metadata,
    Column("address", Text, primary_key=True),
    Column("purpose", String(16), primary_key=True),
    Column("source", Text, nullable=False),  # its name in the configuration
    Column("key_id", String(64), nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # as in private_key
    Column("pkcs10", LargeBinary, nullable=False),
    Column("replacing", String(64), nullable=False),  # fingerprint; empty: the first one
    Column("state", Text),  # the source's own; none: not asked yet
    Column("waits_for", Text, nullable=False),
    Column("tries", Integer, nullable=False),  # that failed, one after the other
    Column("fault", Text, nullable=False),  # of the last try; empty when it went well
    Column("ended", Boolean, nullable=False),  # refused: nobody asks again by himself
    Column("created", _MOMENT, nullable=False),
    Column("due", _MOMENT, nullable=False),  # when to look again
    Column("holder", String(32), nullable=False),  # who is asking
    Column("held_until", _MOMENT, nullable=False),
    CheckConstraint("purpose in ('sign', 'encrypt', 'both')", name="purpose"),
    Index(None, "due"),
    Index(None, "key_id"),
)
