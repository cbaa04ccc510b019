"""Rows of the fault list whose test stands with the tests of what it is about, and is not written twice."""

from __future__ import annotations

_HOSTILE, _IMAP = "tests/edges/test_imap_hostile.py", "tests/edges/test_imap.py"
_REPLACED = f"{_HOSTILE}::test_the_connection_is_replaced_and_every_mail_stored_once"

COVERED: dict[str, tuple[str, ...]] = {
    "fault-39": (_REPLACED,),  # half_a_literal_then_reset
    "fault-40": (_REPLACED, f"{_HOSTILE}::test_a_hanging_mailbox_delays_no_other"),  # half_a_literal_then_silence
    "fault-41": (_REPLACED, f"{_IMAP}::test_a_server_killed_while_we_idle_is_noticed_and_found_again"),
    "fault-42": (_REPLACED, f"{_HOSTILE}::test_a_mailbox_that_stays_silent_is_an_alarm"),  # idling_for_ever, silence
    "fault-43": (
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
