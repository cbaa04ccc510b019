"""Addresses and what is shown beside them."""

from __future__ import annotations

from gateway.address import clean_text


def test_letters_whose_order_is_turned_round_are_shown_as_they_were_written() -> None:
    assert clean_text("invoice\u202efdp.exe") == "invoice fdp.exe"
