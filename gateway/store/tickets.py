"""Tickets: recall the facts a mail's decision needs, record what was decided, look tickets up."""

from gateway.store.loading import list_tickets, load_ticket, load_tickets
from gateway.store.people import ensure_agents, ensure_person
from gateway.store.recall import recall
from gateway.store.record import open_ticket, record

__all__ = [
    "ensure_agents",
    "ensure_person",
    "list_tickets",
    "load_ticket",
    "load_tickets",
    "open_ticket",
    "recall",
    "record",
]
