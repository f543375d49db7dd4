"""The directory on each engine: one file for the workers of a machine, PostgreSQL for nodes."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.contract.shelf import DOMAINS, Shelf, ensure, vault_of, write_some
from tests.patience import PATIENCE
from tests.pki_builder import Authority, company, company_root, root, user

from gatepost.enrol.local import LocalAuthority
from gatepost.errors import ConfigError, Malformed, Refused
from gatepost.mail.address import Mailbox
from gatepost.pki.choose import MAXIMUM_CANDIDATES, choose
from gatepost.smime.correspondent import Lesson
from gatepost.store import schema
from gatepost.store.database import OLDEST
from gatepost.store.directory import Directory
from gatepost.store.record import StoredKey

Results = SimpleQueue[tuple[str, str]]
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
ALICE = Mailbox.parse("alice@example.com")
CERTIFICATE = user("alice@example.com", "p256").certificate


@pytest.fixture(params=["sqlite", "postgres"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    """Each engine in turn."""
    if request.param == "postgres":
        return Shelf(request.getfixturevalue("postgres").address)
    return Shelf(str(tmp_path / "directory.db"))


@pytest.fixture
def directory(shelf: Shelf) -> Iterator[Directory]:
    with shelf.open() as opened:
        yield opened


def stored(name: str = "alice@example.com", sealed: bytes = b"box") -> StoredKey:
    return StoredKey(user(name, "p256").certificate, "id", "both", sealed)


def test_the_migrations_make_exactly_the_schema(shelf: Shelf) -> None:
    """An upgraded installation would differ from a new one, and fail in its own ways."""
    config = Config()
    config.set_main_option("script_location", "gatepost.store:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD
    tables = set(schema.metadata.tables)
    database = shelf.database()
    with database.reading() as connection:
        options = {
            "compare_type": True,
            "include_name": lambda n, kind, _: kind != "table" or n in tables,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []
        if not shelf.is_shared:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_certificates_are_found_by_any_spelling_of_the_address(directory: Directory) -> None:
    """Mail to Alice@Example.COM would go out in clear though we have her certificate."""
    directory.add_certificate(CERTIFICATE, ["Alice@EXAMPLE.com"], now=NOW)
    [found] = directory.candidates_for(Mailbox.parse("alice@example.COM"))
    assert (found.certificate, found.source, found.domain) == (CERTIFICATE, "imported", False)
    assert directory.candidates_for(Mailbox.parse("bob@example.com")) == ()
    with pytest.raises(Malformed):
        directory.add_certificate(CERTIFICATE, ["example.com"], now=NOW)


def test_a_domains_certificate_is_a_candidate_for_everybody_there(directory: Directory) -> None:
    """Partners with a gateway certificate could not be written to."""
    directory.add_certificate(CERTIFICATE, ["@Example.com"], now=NOW)
    [found] = directory.candidates_for(Mailbox.parse("anyone@example.com"))
    assert found.domain
    assert directory.candidates_for(Mailbox.parse("anyone@sub.example.com")) == ()


def test_harvested_certificates_bring_issuers(directory: Directory) -> None:
    """Nobody who wrote to us signed could be answered encrypted."""
    issuing = company()
    learn = {"issuers": [issuing.certificate], "now": NOW}
    assert directory.learn(CERTIFICATE, ALICE, **learn)  # type: ignore[arg-type]
    assert not directory.learn(CERTIFICATE, ALICE, **learn)  # type: ignore[arg-type]
    [found] = directory.candidates_for(ALICE)
    assert found.source == "harvested"
    assert found.issuers == (issuing.certificate,)
    directory.add_partner("example.com", [company_root().certificate], now=NOW)
    anchors = directory.anchors_for("example.com")
    assert choose(directory.candidates_for(ALICE), ALICE, anchors, NOW).chosen == CERTIFICATE


def test_what_may_have_signed_for_an_author(directory: Directory) -> None:
    """A key that opens mail for a whole domain would vouch for each person in it."""
    issuing = company()
    gateway = user("gateway@example.com", "p256").certificate
    directory.learn(CERTIFICATE, ALICE, issuers=[issuing.certificate], now=NOW)
    directory.add_certificate(gateway, ["@example.com"], now=NOW)
    assert directory.signers_of(ALICE) == (CERTIFICATE, issuing.certificate)
    assert directory.signers_of(Mailbox.parse("anna@example.com")) == ()


def _lesson(day: int, announced: str = "", used: str = "") -> Lesson:
    """What Alice's signature of that day of May showed."""
    signed_at = datetime(2026, 5, day, tzinfo=UTC) if day else None
    return Lesson(ALICE, signed_at, frozenset(announced.split()), frozenset(used.split()))


def test_a_correspondent_is_learned(directory: Directory) -> None:
    """Mail to somebody who reads AES-GCM would go on in CBC for ever."""
    assert directory.note(_lesson(2, "aes256-gcm aes128-cbc", "rsa-pss"), now=NOW)
    assert not directory.note(_lesson(2, "aes256-gcm aes128-cbc", "rsa-pss"), now=NOW)
    known = directory.correspondent(ALICE)
    assert known.reads("aes256-gcm")
    assert known.because("aes256-gcm") == "announced it on 2026-05-02"
    assert known.because("rsa-pss") == "used it on 2026-05-02"
    assert directory.correspondents("EXAMPLE.com") == {"alice@example.com": known}
    assert directory.correspondents("ample.com") == {}


def test_mail_sent_again_never_lowers_what_is_known(directory: Directory) -> None:
    """Whoever kept an old mail of hers could switch the encryption to her back to CBC."""
    directory.note(_lesson(20, "aes256-gcm", "header-protection"), now=NOW)
    known = directory.correspondent(ALICE)
    assert not directory.note(_lesson(10, "aes128-cbc"), now=NOW)
    assert not directory.note(_lesson(0, "3des-cbc"), now=NOW)
    assert directory.correspondent(ALICE) == known
    assert directory.note(_lesson(21, "aes128-cbc"), now=NOW)  # but she may change her mind
    assert directory.correspondent(ALICE).announced == frozenset({"aes128-cbc"})
    assert not directory.note(_lesson(20, "aes256-gcm", "header-protection"), now=NOW)
    assert directory.correspondent(ALICE).announced == frozenset({"aes128-cbc"})


def test_a_clock_ahead_does_not_close_the_memory(directory: Directory) -> None:
    """A signature dated tomorrow would make all of today's look old."""
    ahead = replace(_lesson(1, "aes128-cbc"), signed_at=NOW + timedelta(hours=20))
    directory.note(ahead, now=NOW)
    later = replace(ahead, signed_at=NOW + timedelta(minutes=1), announced=frozenset({"rsa-oaep"}))
    assert directory.note(later, now=NOW + timedelta(minutes=2))
    assert directory.correspondent(ALICE).announced == frozenset({"rsa-oaep"})


def test_what_an_older_version_knew_is_taken_over(shelf: Shelf) -> None:
    """An upgrade would forget every correspondent, and answer "unknown" of old certificates."""
    with shelf.open() as directory:
        directory.add_certificate(CERTIFICATE, [ALICE], now=NOW)
    with closing(shelf.database()) as database, database.writing() as connection:
        for statement in (
            "DROP TABLE certificate_request",
            "DROP TABLE evidence_stamp",
            "DROP TABLE evidence_proof",
            "DROP TABLE notice",
            "DROP TABLE evidence",
            "DROP TABLE known_key",
            "DROP TABLE judged",
            "DROP TABLE revoked",
            "DROP TABLE published_list",
            "DROP TABLE fetched_status",
            "DROP TABLE alert",
            "DROP INDEX ix_certificate_authority",
            "DROP INDEX ix_certificate_serial",
            "ALTER TABLE certificate DROP COLUMN serial",
            "DROP TABLE correspondent",
            "DROP TABLE correspondent_use",
            "UPDATE alembic_version SET version_num = '0001'",
            "INSERT INTO capability VALUES ('alice@example.com', 'aes128-cbc aes256-gcm', 1700000000)",
        ):
            connection.exec_driver_sql(statement)
    with shelf.open() as directory:
        assert directory.correspondent(ALICE).reads("aes256-gcm")
        issuer = company().certificate
        assert directory.ledger.issued(issuer, CERTIFICATE.serial) == CERTIFICATE


def test_learning_never_lowers_what_an_administrator_said(directory: Directory) -> None:
    """A pinned self-signed certificate would stop working at its owner's next mail."""
    directory.add_certificate(CERTIFICATE, [ALICE], source="pinned", now=NOW)
    directory.learn(CERTIFICATE, ALICE, now=NOW + timedelta(days=2))
    [entry] = directory.find(address=ALICE)
    [use] = entry.uses
    assert (use.source, use.first_seen, use.last_seen) == ("pinned", NOW, NOW + timedelta(days=2))
    directory.add_certificate(CERTIFICATE, [ALICE], source="imported", now=NOW)
    assert directory.candidates_for(ALICE)[0].source == "imported"


def test_mail_never_crowds_out_what_an_administrator_filed(directory: Directory) -> None:
    """Whoever sends enough certificates would have the next mail leave in clear text."""
    directory.add_certificate(CERTIFICATE, [ALICE], source="imported", now=NOW)
    for number in range(MAXIMUM_CANDIDATES + 1):
        other = root(f"Eve {number}").user("alice@example.com", kind="p256", key_name="eve")
        directory.learn(other.certificate, ALICE, now=NOW + timedelta(hours=1))
    assert CERTIFICATE in [one.certificate for one in directory.candidates_for(ALICE)]


def test_mail_never_teaches_a_domain_certificate(directory: Directory) -> None:
    """One signed mail could redirect a whole company's mail."""
    with pytest.raises(Refused):
        directory.add_certificate(CERTIFICATE, ["@example.com"], source="harvested", now=NOW)
    assert directory.find() == ()


def test_a_partners_ca_counts_for_its_domain_only(directory: Directory) -> None:
    """A partner's CA could certify everybody else's addresses."""
    own, other = root("Partner"), root("Everybody")
    made = directory.add_partner("Partner.example", [own.certificate], note="contract 7", now=NOW)
    directory.add_anchors([other.certificate], now=NOW)
    assert (made.domain, made.note, made.roots) == (
        "partner.example",
        "contract 7",
        (own.certificate,),
    )
    both, one = {own.certificate, other.certificate}, {other.certificate}
    assert both == directory.anchors_for("PARTNER.example").roots
    assert one == directory.anchors_for("sub.partner.example").roots
    others = directory.anchors_for("a.example"), directory.anchors_for("b.example")
    assert others[0] is others[1]  # hundreds of roots are not read again for every domain
    assert one == directory.anchors_for("example.org").roots
    assert directory.partner("partner.example") == made
    assert directory.remove_partner("partner.example")
    assert not directory.remove_partner("partner.example")
    assert one == directory.anchors_for("partner.example").roots
    assert directory.remove_anchor(other.certificate)
    assert directory.anchors_for("partner.example").roots == frozenset()


def test_what_a_partner_gave_us_is_told_apart(directory: Directory) -> None:
    """An intermediate would be trusted as an anchor, or a person's certificate as a CA."""
    above, below = company_root(), company()
    made = directory.add_partner("a.example", [below.certificate, above.certificate], now=NOW)
    assert (made.roots, made.intermediates) == ((above.certificate,), (below.certificate,))
    alone = directory.add_partner("b.example", [below.certificate], now=NOW)
    assert alone.roots == (below.certificate,)
    with pytest.raises(ConfigError, match=r"'alice@example.com' is not a certification authority"):
        directory.add_partner("c.example", [CERTIFICATE], now=NOW)
    assert directory.partner("c.example") is None
    with pytest.raises(ConfigError, match="one domain"):
        directory.add_partner("*", [above.certificate], now=NOW)
    with pytest.raises(Malformed):
        directory.add_partner("not a domain", [above.certificate], now=NOW)
    assert [one.domain for one in directory.partners()] == ["a.example", "b.example"]


def test_keys_are_kept_for_expired_certificates_too(directory: Directory) -> None:
    """Old mail could not be read any more."""
    authority = company()
    old = authority.user("alice@example.com", kind="p256", not_after=NOW - timedelta(days=1))
    directory.add_key(StoredKey(old.certificate, "a", "both", b"1"), [ALICE], now=NOW)
    directory.add_key(stored(sealed=b"2"), [ALICE], now=NOW)
    assert [key.sealed for key in directory.keys_for(ALICE)] == [b"2", b"1"]
    assert directory.key_of(CERTIFICATE) == stored(sealed=b"2")
    assert directory.key_of(company().certificate) is None
    assert "box" not in repr(stored())


def test_a_private_key_is_not_lost_by_accident(directory: Directory) -> None:
    """`cert delete` would make years of mail unreadable."""
    directory.add_key(stored(), [ALICE], now=NOW)
    with pytest.raises(Refused, match="can never be read again"):
        directory.remove_certificate(CERTIFICATE)
    assert directory.remove_certificate(CERTIFICATE, with_key=True)
    assert directory.keys_for(ALICE) == ()
    assert directory.find() == ()
    assert not directory.remove_certificate(CERTIFICATE)


def test_enrolment_is_compare_and_swap(directory: Directory) -> None:
    """Two processes would each believe their certificate is the current one."""
    first, second = (
        stored(),
        StoredKey(company().user("alice@example.com", kind="p256").certificate, "b", "both", b""),
    )
    assert directory.enrol(ALICE, "sign", first, replacing=None, now=NOW) == first.certificate
    assert directory.enrol(ALICE, "sign", second, replacing=None, now=NOW) == first.certificate
    assert directory.key_of(second.certificate) is None
    assert (
        directory.enrol(ALICE, "sign", second, replacing=first.certificate, now=NOW)
        == second.certificate
    )
    assert directory.enrolled(ALICE, "sign") == second.certificate
    assert directory.enrolled(ALICE, "encrypt") is None


def test_policy_revisions(directory: Directory) -> None:
    """Nobody could tell who changed the policy, or go back."""
    policy = directory.policy
    assert policy.current() is None
    one = policy.apply("a = 1", author="root", note="first", now=NOW, onto=0)
    two = policy.apply("a = 2", author="eva", note="", now=NOW, onto=one.rev)
    with pytest.raises(ConfigError, match="changed meanwhile"):
        policy.apply("a = 3", author="max", note="", now=NOW, onto=one.rev)
    three = policy.rollback(one.rev, author="eva", now=NOW + timedelta(days=1))
    assert (three.toml, three.note) == ("a = 1", f"back to revision {one.rev}")
    assert (three, two, one) == policy.history()
    assert (one,) == policy.history(before=two.rev)
    assert policy.current() == three
    with pytest.raises(ConfigError, match="no revision 99"):
        policy.get(99)


def test_search(directory: Directory) -> None:
    """`cert list` would not find what stands in front of one's eyes."""
    directory.add_key(stored(), [ALICE], now=NOW)
    bob = user("bob_100%@example.org", "p256").certificate
    directory.add_certificate(bob, ["bob_100%@example.org"], now=NOW)
    directory.add_anchors([company_root().certificate], now=NOW)
    assert [one.certificate for one in directory.find("ALICE")] == [CERTIFICATE]
    assert [one.certificate for one in directory.find("100%")] == [bob]
    assert directory.find("10__%") == ()
    assert [one.certificate for one in directory.find(authority=True)] == [
        company_root().certificate
    ]
    assert len(directory.find(limit=2)) == 2
    assert len(directory.find(limit=2, offset=2)) == 1
    colons = ":".join(CERTIFICATE.fingerprint.upper()[at : at + 2] for at in range(0, 20, 2))
    entry = directory.entry(colons)
    assert (entry.certificate, entry.key_purpose, entry.added_at) == (CERTIFICATE, "both", NOW)
    for unclear in ("", "zz"):
        with pytest.raises(ConfigError, match="fingerprint beginning"):
            directory.entry(unclear)


def test_settings_and_naive_moments(directory: Directory) -> None:
    """A moment without time zone would be hours off in the database."""
    assert directory.setting("x") is None
    directory.change_setting("x", "1")
    directory.change_setting("x", "2")
    assert directory.setting("x") == "2"
    with pytest.raises(ValueError, match="time zone"):
        directory.add_certificate(CERTIFICATE, now=NOW.replace(tzinfo=None))


def seen(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether it became true in time; another machine's notice takes its milliseconds."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    return condition()


def test_another_process_change_is_noticed(shelf: Shelf, directory: Directory) -> None:
    """A node would go on encrypting to a removed certificate."""
    with shelf.open() as other:
        assert directory.candidates_for(ALICE) == ()
        before = directory.generation()
        other.add_certificate(CERTIFICATE, [ALICE], now=NOW)
        assert seen(lambda: directory.generation() > before)
        assert len(directory.candidates_for(ALICE)) == 1
        assert directory.generation() == other.generation()
        other.remove_certificate(CERTIFICATE)
        assert other.candidates_for(ALICE) == ()  # its own change at once
        assert seen(lambda: directory.candidates_for(ALICE) == ())
        other.policy.apply("", author="carol", note="", now=NOW)
        assert directory.policy.current() is not None


def test_threads_may_share_it(directory: Directory) -> None:
    """The engine's threads would corrupt each other's answers."""
    authority = company()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                box = Mailbox.parse(f"u{number}-{turn}@example.com")
                one = authority.user(str(box), kind="p256", key_name="shared").certificate
                directory.learn(one, box, now=NOW)
                assert directory.candidates_for(box)[0].certificate == one
        except BaseException as error:  # noqa: BLE001  told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(directory.find()) == 30


def test_workers_may_open_a_new_directory_at_once(shelf: Shelf) -> None:
    """`serve` with several workers or nodes would fail on its first start."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_some, args=(shelf, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 3
    with shelf.open() as directory:
        assert None not in [directory.setting(f"{n}.{t}") for n in range(3) for t in range(5)]
        assert directory.generation() == 15


def test_nodes_that_enrol_at_once_agree(shelf: Shelf, directory: Directory) -> None:
    """Two nodes' first mails from one author would carry different certificates."""
    vault = vault_of(directory)
    LocalAuthority.create(
        directory, vault, "Example", DOMAINS, algorithm="p256", user_key="p256", now=NOW
    )
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.SimpleQueue()
    nodes = [context.Process(target=ensure, args=(shelf, NOW, barrier, results)) for _ in range(3)]
    for node in nodes:
        node.start()
    for node in nodes:
        node.join(60)
    assert [node.exitcode for node in nodes] == [0] * 3
    assert len({results.get() for _ in nodes}) == 1
    assert seen(lambda: len(directory.find(address=ALICE)) == 2)
    assert len(directory.keys_for(ALICE)) == 2


def test_what_strangers_call_themselves_is_filed(directory: Directory) -> None:
    """A partner's odd certificate would be refused by one engine and not by the other."""
    odd = root("nul\0 and \U0001f4a3", "p256").certificate
    end = datetime(9999, 12, 31, tzinfo=UTC)
    late = company().user("late@example.com", kind="p256", not_after=end).certificate
    directory.add_certificate(odd, ["odd@example.com"], now=NOW)
    directory.add_certificate(late, ["late@example.com"], now=NOW)
    assert {one.certificate for one in directory.find()} == {odd, late}


def test_an_older_program_goes_on_with_what_a_newer_one_added(
    shelf: Shelf, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes could only be upgraded all at once; or an old one would spoil what it cannot read."""
    database = shelf.database()
    with database.writing() as connection:  # as the next release's migration does
        connection.exec_driver_sql("ALTER TABLE partner ADD COLUMN colour TEXT")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9000'")
    directory.add_partner("old.example", note="by the old node", now=NOW)
    with shelf.open() as other:  # it may even start anew
        assert [one.domain for one in other.partners()] == ["old.example"]
    directory.change_setting(OLDEST, "8999")
    with pytest.raises(ConfigError, match="has schema 9000, this Gatepost knows 0"):
        shelf.open()
    monkeypatch.setattr(schema, "HEAD", "8999")
    shelf.open().close()
    database.close()


def test_issuers_are_climbed_without_circles(directory: Directory) -> None:
    """Two CAs that certify each other would hang every question."""
    upper = root("A", "p256")
    first = upper.authority("B")
    back = Authority(first.certificate, first.key).authority("A")
    for one in (upper, first, back):
        directory.add_certificate(one.certificate, now=NOW)
    leaf = first.user("x@example.com", kind="p256").certificate
    assert set(directory.issuers_of(leaf)) == {first.certificate, back.certificate}


def test_a_partners_own_authorities_are_told_apart(directory: Directory) -> None:
    """Whoever has a certificate of any public CA could sign in a whole domain's name."""
    theirs, public = root("Theirs").certificate, root("Public").certificate
    directory.add_anchors([public], now=NOW)
    directory.add_partner("partner.example", [theirs], now=NOW)
    found = directory.anchors_for("partner.example")
    assert found.roots == {theirs, public}
    assert found.own == {theirs}
    assert directory.anchors_for("other.example").own == frozenset()
