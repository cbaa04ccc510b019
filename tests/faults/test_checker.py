"""The checker sees what it is there for: a gateway made wrong on purpose, once or more for each invariant."""

from __future__ import annotations

import errno
import re

import pytest

from tests.faults import mutants
from tests.faults.desk import RESTS_WITHIN, Fault
from tests.faults.stepping import Bench

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

_FULL = Fault(at=1, times=3, act="fail", errno=errno.ENOSPC, only="db.write", after="point.receive:in-hand")


def _killed(point: str) -> Fault:
    return Fault(at=1, only=f"point.{point}", after="point.receive:in-hand")


_MUTANTS: dict[str, tuple[str, Fault | None, str]] = {
    "acknowledges_what_it_did_not_store": ("", None, "I1: new2 was acknowledged 1 times and has 0 rows"),
    "changes_a_byte": ("", None, "I1: question was acknowledged 1 times and has 0 rows"),
    "applies_a_mail_twice": ("new1", None, r"I2: mail \d+ opened 2 tickets"),
    "forgets_an_effect": ("new1", None, "I2/I3: 1 missing of timers"),
    "takes_answers_for_automatic": ("answer", _killed("outbox:transmitting"), "I3: an answer .* never arrived"),
    "takes_automatic_mail_for_answers": (
        "new1",
        _killed("outbox:answered"),
        "I3: automatic mail ack .* was sent 2 times",
    ),
    "forgets_copies": ("answer", None, r"I3: an answer answer \d+ to \S+ left and lies 0 times in the Sent folder"),
    "copies_without_looking": (
        "answer",
        _killed("copies:appended"),
        r"I3: an answer answer \d+ to \S+ left and lies 2 times in the Sent folder",
    ),
    "believes_anybody": ("", None, "I4: forged, which nobody proves, was applied"),
    "shows_notes_to_customers": ("", None, "I4: old7@customer.test was sent the words of note"),
    "leaves_claims_of_the_dead": (
        "new1",
        _killed("intake:claimed"),
        r"I5/I6: not at rest .*\n  journal: id=\d+ state=received .* lease_owner=\S+$",
    ),
    "refuses_for_ever": ("new1", _FULL, "I7: new1: 554"),
}
"""Mutant -> the mail that is alone on the desk ("": all of them), what happens meanwhile, what has to be said of it."""


def test_every_mutant_is_tried_and_every_invariant_has_one() -> None:
    assert set(mutants.names()) == set(_MUTANTS)
    said = " ".join(pattern.partition(":")[0] for *_, pattern in _MUTANTS.values())
    assert {f"I{number}" for number in range(1, 8)} <= set(said.replace("/", " ").split())


@pytest.mark.parametrize(
    "mutant", [pytest.param(name, marks=pytest.mark.dovecot if "copies" in name else ()) for name in _MUTANTS]
)
def test_a_deliberate_fault_is_seen(request: pytest.FixtureRequest, mutant: str) -> None:
    bench: Bench = request.getfixturevalue("mailbox_bench" if "copies" in mutant else "sqlite_bench")
    name, fault, pattern = _MUTANTS[mutant]
    script = bench.alone(name) if name else bench.script
    patience = 30.0 if pattern.startswith("I5") else RESTS_WITHIN
    run = bench.run(fault, script=script, mutant=mutant, patience=patience)
    print(*run.violations, sep="\n")
    assert any(re.match(pattern, violation, re.DOTALL) for violation in run.violations), run.violations


def test_a_row_that_is_lost_doubled_or_changed_is_seen(sqlite_bench: Bench) -> None:
    bench = sqlite_bench
    run = bench.run(None)
    assert run.violations == []
    rows = bench.desk.rows()
    assert bench.check_again() == []
    rows.execute("DELETE FROM timers WHERE kind = 'unclaimed-2'")
    assert any("missing of timers" in violation for violation in bench.check_again())
    rows.execute("UPDATE deliveries SET state = 'queued' WHERE kind = 'answer'")
    assert any("is still queued" in violation for violation in bench.check_again())
    rows.execute("UPDATE deliveries SET content = CAST(content || x'21' AS BLOB) WHERE kind = 'ack'")
    assert any("is not the mail that was decided" in violation for violation in bench.check_again())
    rows.execute("UPDATE journal SET recipient_key = 'somebody@desk.test' WHERE id = 20")
    assert any(violation.startswith("I1: ") for violation in bench.check_again())
