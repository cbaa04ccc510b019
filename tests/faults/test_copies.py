"""Copies of answers in the Sent folder of a real Dovecot: whenever the daemon dies, each answer lies there once."""

from __future__ import annotations

import pytest

from tests.faults.desk import Fault
from tests.faults.stepping import Bench

pytestmark = [pytest.mark.system, pytest.mark.dovecot, pytest.mark.timeout(300)]

POINTS = (
    "noted-not-committed",
    "due",
    "in-folder",
    "looked-for",
    "appending",
    "appended",
    "settled-not-committed",
    "settled",
)


@pytest.mark.parametrize("point", POINTS)
def test_a_death_beside_a_copy_neither_loses_nor_doubles_it(mailbox_bench: Bench, point: str) -> None:
    killed = Fault(at=1, only=f"point.copies:{point}")
    run = mailbox_bench.run(killed, script=mailbox_bench.alone("answer"))
    assert run.met and run.violations == [], run.log
    assert run.repeated == 0, "that the relay has the answer stands in sent.log before it is recorded"


@pytest.mark.parametrize("act", ["cut-before", "cut-after"])
@pytest.mark.parametrize("send", [1, 2])
def test_a_connection_cut_in_the_command_or_in_the_mail_of_a_copy_loses_and_doubles_nothing(
    mailbox_bench: Bench, send: int, act: str
) -> None:
    cut = Fault(at=send, act=act, only="imap.send", after="point.copies:appending")
    run = mailbox_bench.run(cut, script=mailbox_bench.alone("answer"))
    assert run.met and run.violations == [] and len(run.ends) == 1, run.log
