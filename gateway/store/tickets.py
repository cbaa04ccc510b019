"""Tickets: recall the facts a mail's decision needs, record what was decided, look tickets up."""

from gateway.store.loading import list_tickets, load_ticket, load_tickets
from gateway.store.people import agent_choices, ensure_agents, ensure_person, find_blocked, set_blocked
from gateway.store.recall import follow_merges, recall
from gateway.store.record import drop_row, open_ticket, record

__all__ = [
    "agent_choices",
    "drop_row",
    "ensure_agents",
    "ensure_person",
    "find_blocked",
    "follow_merges",
    "list_tickets",
    "load_ticket",
    "load_tickets",
    "open_ticket",
    "recall",
    "record",
    "set_blocked",
]
