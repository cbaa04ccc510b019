"""Mails taken in, claimed, decided, held."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from gateway.model import DnsAnswer, ImapMark, ImapPosition, InboundMail, Instruction, Mailbox
from gateway.store import journal, mailboxes, raw_mail
from gateway.store.database import Database
from gateway.store.journal import ClaimLostError, JournalState
from tests.store.values import HOUR, LEASE, NOW, RAW, envelope, findings, plan


def _append(database: Database, raw: bytes = RAW, **changes: object) -> int:
    with database.begin() as tx:
        return journal.append(tx, envelope(**changes), raw).id


def _claim(database: Database, now: datetime = NOW, limit: int = 10, worker: str = "w") -> list[InboundMail]:
    with database.begin() as tx:
        return journal.claim(tx, limit, worker, now, LEASE)


def _row(database: Database, row_id: int) -> journal.JournalRow:
    with database.begin() as tx:
        return journal.find(tx, row_id=row_id)[0]


def test_what_was_taken_in_comes_back_byte_for_byte(database: Database) -> None:
    raw = RAW + bytes(range(256)) * 40
    row_id = _append(database, raw)
    (mail,) = _claim(database)
    assert (mail.id, mail.raw, mail.envelope, mail.attempts) == (row_id, raw, envelope(), 0)
    with database.begin() as tx:
        assert raw_mail.load(tx, mail.sha256) == raw
        assert raw_mail.load(tx, "00") is None


def test_an_empty_mail_is_a_mail(database: Database) -> None:
    _append(database, b"")
    assert _claim(database)[0].raw == b""


async def test_a_thousand_deliveries_of_the_same_bytes_are_one_row(database: Database) -> None:
    mail = raw_mail.prepare(RAW)
    results = await asyncio.gather(
        *(database.write(lambda tx: journal.append(tx, envelope(), mail)) for _ in range(1000))
    )
    assert len({r.id for r in results}) == 1
    assert sum(not r.duplicate for r in results) == 1
    assert len(_claim(database)) == 1


def test_the_recipient_is_compared_without_case_and_shown_as_written(database: Database) -> None:
    first = _append(database, recipient="Support@Example.COM")
    with database.begin() as tx:
        again = journal.append(tx, envelope("support@example.com"), RAW)
    assert again == journal.Appended(first, True)
    assert _claim(database)[0].envelope.recipient == "Support@Example.COM"


def test_the_same_bytes_for_another_recipient_are_a_row_of_their_own(database: Database) -> None:
    assert _append(database) != _append(database, recipient="sales@example.com")


def test_a_new_uid_with_known_bytes_is_a_duplicate_whose_position_is_remembered(database: Database) -> None:
    one = ImapPosition("shared", "INBOX", 7, 1)
    with database.begin() as tx:
        first = journal.append(tx, envelope(position=one), RAW)
        again = journal.append(tx, envelope(position=replace(one, uidvalidity=8, uid=3)), RAW)
        assert again == journal.Appended(first.id, True)
        assert mailboxes.find_seen(tx, "shared", "INBOX", 8, range(2000)) == {3}
        assert mailboxes.find_seen(tx, "shared", "INBOX", 7, [1, 3]) == {1}
    assert [mail.envelope.position for mail in _claim(database)] == [one]


def test_a_mark_moves_both_ways(database: Database) -> None:
    with database.begin() as tx:
        assert mailboxes.find_mark(tx, "shared", "INBOX") is None
        mailboxes.set_mark(tx, "shared", "INBOX", ImapMark(2**32 - 1, 90))
        mailboxes.set_mark(tx, "shared", "INBOX", ImapMark(4, 1))
        assert mailboxes.find_mark(tx, "shared", "INBOX") == ImapMark(4, 1)


def test_nul_and_lone_surrogates_do_not_stop_a_mail(database: Database) -> None:
    _append(database, reverse_path="a\0b@x.test", helo="\ud800x")
    (mail,) = _claim(database)
    assert (mail.envelope.reverse_path, mail.envelope.helo) == ("a\ufffdb@x.test", "\ufffdx")
    strange = replace(
        findings(
            author="j\0@x.test", message_id="<\udcff@x.test>", records={"TXT \0": DnsAnswer("found", ("\ud800",))}
        ),
    )
    with database.begin() as tx:
        journal.finish(tx, mail, strange, plan("discard", reason="\0"), NOW)
    row = _row(database, mail.id)
    assert (row.reason, row.message_id) == ("\ufffd", "<\ufffd@x.test>")
    assert row.story["authentication"]["records"] == {"TXT \ufffd": {"status": "found", "values": ["\ufffd"]}}


def test_a_message_id_of_any_length_can_be_kept_and_found(database: Database) -> None:
    import secrets

    long_id = f"<{secrets.token_hex(50_000)}@x.test>"
    _append(database)
    (mail,) = _claim(database)
    with database.begin() as tx:
        journal.finish(tx, mail, findings(author="x" * 9000 + "@x.test", message_id=long_id), plan("discard"), NOW)
        assert [row.id for row in journal.find(tx, message_id=long_id)] == [mail.id]


async def test_claims_are_disjoint_and_complete(database: Database) -> None:
    for n in range(60):
        _append(database, RAW + b"%d" % n)
    claimed = await asyncio.gather(
        *(database.write(lambda tx, w=w: journal.claim(tx, 7, f"w{w}", NOW, LEASE)) for w in range(12))
    )
    ids = [mail.id for mails in claimed for mail in mails]
    assert len(ids) == len(set(ids)) == 60


def test_the_oldest_come_first(database: Database) -> None:
    ids = [_append(database, RAW + b"%d" % n) for n in range(5)]
    assert [mail.id for mail in _claim(database, limit=3)] == ids[:3]
    assert [mail.id for mail in _claim(database, limit=3)] == ids[3:]


def test_a_lost_worker_s_row_comes_back_when_its_lease_ends(database: Database) -> None:
    _append(database)
    (lost,) = _claim(database)
    assert _claim(database, NOW + LEASE - timedelta(seconds=1)) == []
    (again,) = _claim(database, NOW + LEASE)
    assert (lost.attempts, again.attempts) == (0, 1)
    with database.begin() as tx, pytest.raises(ClaimLostError):
        journal.finish(tx, lost, findings(), plan(), NOW)
    with database.begin() as tx:
        journal.finish(tx, again, findings(), plan("discard"), NOW)
    with database.begin() as tx, pytest.raises(ClaimLostError):
        journal.finish(tx, again, findings(), plan("discard"), NOW)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("new", "applied"), ("hold", "held"), ("wait", "waiting"), ("repeat", "applied"), ("discard", "applied")],
)
def test_the_outcome_of_a_plan_is_the_state_of_its_row(database: Database, outcome: str, state: str) -> None:
    _append(database)
    (mail,) = _claim(database)
    decided = plan(outcome, 4827, reason="why", retry_at=NOW + HOUR, explanation=("first", "then"))
    with database.begin() as tx:
        journal.finish(tx, mail, findings(records={"TXT x.test": DnsAnswer("absent")}), decided, NOW)
    row = _row(database, mail.id)
    assert (row.state, row.outcome, row.reason, row.ticket, row.event) == (state, outcome, "why", 4827, 1)
    assert row.story["explanation"] == ["first", "then"]
    assert row.story["authentication"]["records"]["TXT x.test"]["status"] == "absent"
    assert _claim(database) == []
    assert [m.id for m in _claim(database, NOW + HOUR)] == ([mail.id] if state == "waiting" else [])


def test_a_date_without_a_zone_or_out_of_range_does_not_matter(database: Database) -> None:
    east, west = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
    dates = (datetime(2026, 1, 1), datetime.min.replace(tzinfo=east), datetime.max.replace(tzinfo=west))
    for n, date in enumerate(dates):
        _append(database, RAW + b"%d" % n)
        (mail,) = _claim(database)
        with database.begin() as tx:
            journal.finish(tx, mail, findings(date=date), plan("discard"), NOW)
            assert len(journal.find(tx, row_id=mail.id)) == 1


def test_a_retry_waits_and_the_attempt_counts(database: Database) -> None:
    row_id = _append(database)
    _claim(database)
    with database.begin() as tx:
        journal.retry(tx, row_id, "cage: timed out", NOW + HOUR)
    assert _claim(database, NOW + LEASE) == []
    assert [mail.attempts for mail in _claim(database, NOW + HOUR)] == [1]
    assert _row(database, row_id).reason == "cage: timed out"


def test_a_held_row_waits_for_a_person_and_takes_the_instruction_along(database: Database) -> None:
    row_id = _append(database)
    _claim(database)
    with database.begin() as tx:
        journal.hold(tx, row_id, "three failures")
        assert [row.id for row in journal.list_held(tx)] == [row_id]
        assert journal.count_states(tx) == {"held": 1}
    assert _claim(database, NOW + 100 * HOUR) == []
    instruction = Instruction(act="send", by=3, ticket=4827, event=6, text="Better words")
    with database.begin() as tx:
        assert journal.release(tx, row_id, NOW, instruction)
        assert not journal.release(tx, row_id, NOW, instruction)
    (mail,) = _claim(database)
    assert (mail.attempts, mail.instruction) == (0, instruction)


def test_a_final_row_is_neither_held_nor_retried_nor_released(database: Database) -> None:
    row_id = _append(database)
    (mail,) = _claim(database)
    with database.begin() as tx:
        journal.finish(tx, mail, findings(), plan("discard"), NOW)
        journal.hold(tx, row_id, "late")
        journal.retry(tx, row_id, "late", NOW)
        assert not journal.release(tx, row_id, NOW)
        assert not journal.discard(tx, row_id, "late")
    assert _row(database, row_id).state is JournalState.APPLIED


def test_a_row_is_found_by_number_message_id_and_ticket(database: Database) -> None:
    row_id = _append(database)
    (mail,) = _claim(database)
    with database.begin() as tx:
        journal.finish(tx, mail, findings(), plan("file", 4827), NOW)
        for wanted in ({"row_id": row_id}, {"message_id": "<one@customer.test>"}, {"ticket": 4827, "event": 1}):
            assert [row.id for row in journal.find(tx, **wanted)] == [row_id]
        assert journal.find(tx) == []
        assert journal.find(tx, ticket=1) == []


def test_a_mail_of_nobody_is_finished_too(database: Database) -> None:
    _append(database)
    (mail,) = _claim(database)
    nobody = replace(findings(), authentication=replace(findings().authentication, author=None))
    with database.begin() as tx:
        journal.finish(tx, mail, nobody, plan("hold", reason="ambiguous"), NOW)
    assert _row(database, mail.id).author == ""
    assert nobody.message.to == (Mailbox("", "support@example.com"),)
