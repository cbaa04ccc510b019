"""ticketgate: turns a plain shared inbox into owned, threaded tickets."""

__version__ = "0.1.0"
