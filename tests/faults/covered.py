"""Rows of the fault list whose test stands with the tests of what it is about, and is not written twice."""

from __future__ import annotations

_HOSTILE, _IMAP = "tests/edges/test_imap_hostile.py", "tests/edges/test_imap.py"
_REPLACED = f"{_HOSTILE}::test_the_connection_is_replaced_and_every_mail_stored_once"

_CAGE = "tests/edges/test_cage.py"

COVERED: dict[str, tuple[str, ...]] = {
    # At the cage; with a whole daemon they are in test_cage.py.
    "fault-31": (
        f"{_CAGE}::test_a_child_that_crashes_in_a_batch_costs_the_others_nothing",
        f"{_CAGE}::test_a_mail_that_exhausts_a_childs_memory_becomes_unreadable_and_the_others_are_read",
    ),
    "fault-32": (f"{_CAGE}::test_other_mail_is_read_while_one_child_hangs",),
    "fault-33": (
        f"{_CAGE}::test_an_answer_that_is_no_answer_makes_the_mail_unreadable_at_once",
        f"{_CAGE}::test_an_answer_that_says_it_is_enormous_is_not_waited_for",
    ),
    "fault-37": (
        "tests/edges/test_resolver.py::test_absence_is_kept_for_five_minutes_at_most_and_failure_not_at_all",
        "tests/edges/test_resolver.py::test_absence_is_kept_no_longer_than_the_zone_says",
    ),
    "fault-39": (_REPLACED,),  # half_a_literal_then_reset
    "fault-40": (_REPLACED, f"{_HOSTILE}::test_a_hanging_mailbox_delays_no_other"),  # half_a_literal_then_silence
    "fault-41": (_REPLACED, f"{_IMAP}::test_a_server_killed_while_we_idle_is_noticed_and_found_again"),
    "fault-42": (_REPLACED, f"{_HOSTILE}::test_a_mailbox_that_stays_silent_is_an_alarm"),  # idling_for_ever, silence
    "fault-43": (  # and ten minutes of it in test_imap.py
        f"{_HOSTILE}::test_pauses_grow_to_a_minute_at_least_and_never_agree",
        f"{_IMAP}::test_a_wrong_password_is_an_alarm_and_ends_when_it_is_right",
    ),
    "fault-44": (
        f"{_IMAP}::test_a_new_uidvalidity_reads_everything_again_and_gives_no_duplicates",
        "tests/edges/test_imap_store.py::test_every_mail_has_one_row_after_restarts_and_a_rebuild",
    ),
    "fault-45": (f"{_IMAP}::test_a_folder_deleted_and_made_again_reuses_uids_without_losing_mail",),
    "fault-46": (f"{_HOSTILE}::test_a_mail_expunged_between_listing_and_fetching_counts_as_not_listed",),
    "fault-47": (
        f"{_IMAP}::test_a_missing_folder_is_an_alarm_and_not_an_empty_success",
        f"{_IMAP}::test_a_folder_deleted_and_made_again_reuses_uids_without_losing_mail",
    ),
    "fault-48": (f"{_IMAP}::test_seen_mail_is_fetched_and_unseen_mail_stays_unseen",),
    "fault-50": (
        f"{_HOSTILE}::test_a_move_cut_in_two_loses_nothing_and_imports_nothing_twice",
        f"{_IMAP}::test_deleting_takes_our_mail_and_leaves_what_others_marked",
    ),
    "fault-64": (
        "tests/store/test_reporting.py::test_a_digest_comes_at_the_same_hour_of_every_business_day_over_summer_time",
        "tests/rules/test_calendar.py::test_a_day_with_a_change_of_clocks_is_as_long_as_it_is",
    ),
    "fault-71": ("tests/system/test_service.py::test_a_second_daemon_on_the_same_database_ends_with_69",),
    "fault-77": (
        "tests/store/test_loops.py::test_two_desks_that_write_to_each_other_stop_by_themselves",
        "tests/store/test_loops.py::test_two_desks_that_are_each_others_agents_stop_by_themselves",
    ),
}


def rows_of(node: str) -> set[str]:
    """The rows a test stands for, as its name would have them ("fault_39"); ``node`` is pytest's id of it."""
    return {row.replace("-", "_") for row, nodes in COVERED.items() if node.partition("[")[0] in nodes}
