"""The words of every kind of notice: one builder each. What a builder reads from ``Notice`` is this table.

Every kind reads ``event`` (its own number) and ``recipients``; ``data`` values are strings, flags are "1", times are
ISO 8601 with a zone, spans are seconds. All of it is optional unless marked with !. "in_reply_to" left empty means:
the root of the ticket's thread, or, for mail that answers an agent's own mail, the Message-ID of the event ``about``.

=================  ================================================================================================
kind               reads
=================  ================================================================================================
ack                about! (the customer's mail), in_reply_to; outside ("1": outside business hours)
answer             about! (the agent's mail), author!, text! (clean, see relay.py), html, attachments,
                   quote (event of the customer's mail that goes below; also decides In-Reply-To)
offer              about! (the customer's mail), author, attachments; first ("1": the customer's first mail here),
                   known (number of earlier tickets), follows (earlier ticket it continues), unproven ("1"),
                   forwarded_by (name of the agent who forwarded it; text: that one's note), uncertain ("1": no
                   customer), original (author of what somebody else forwarded),
                   perhaps (a ticket of the same author with the same subject), away (what an away notice said),
                   cc (addresses in Cc that are no participants, comma separated)
assigned           about! (the customer's last mail), author (who assigned), text (note that goes with it), cc;
                   split (the ticket it was split off), own ("1": by the recipient)
escalation         as reminder, shown with the mail
customer-reply     about!, author!, attachments; unproven ("1": filed on a token alone), reopened ("1"), cc, away,
                   mails (events that are told together, oldest first)
answered           about! (the answer), author! (the colleague), attachments; taken ("1": the recipient owned it);
                   reason claimed, claim, assign, move, merge (into: the ticket): the ticket is somebody else's now
reminder           about (the mail that waits); step: unclaimed, unanswered, waiting, followup, snoozed;
                   waited (seconds), calendar ("1": not business time), next_at, next_who
note               about! (the note), author!, attachments
ask                about! (the agent's words to a third party), author!, text! (clean), html, attachments,
                   quote (the last mail of that one)
third              about! (a third party's mail), author, attachments; reopened ("1"), unproven ("1")
asked              about! (an agent's words to a third party), author!
held               about! (the held event; its HeldFact has the text), reason!: collision (other! = the colleague's
                   answer), command (hint: nearest verb or "help"; problem: a sentence; bad_line is the HeldFact's),
                   agent-token, no-token, agent-unproven (and dmarc-fail, signature-old, auth-temperror,
                   header-ambiguous: address), unknown-address (address!), replayed, cut-line (text: what would go
                   out), anything else (problem); again ("1": asked again)
held-reminder      as held; expiring! (when it ends)
expired            about! (the held event): its author hears that it was never sent
unproven           about! (the held event), author (the person it claims to be, if a party), reason: author-unproven,
                   unknown-sender, dmarc-fail …, not-me (author! says that the held mail with their own reply address
                   was somebody else's); address! (as written in From), failed ("1": explicit fail),
                   attachments; expiring (when it ends: the one reminder)
undelivered        about! (the relayed event, or the answer), party (of the recipient), recipient (address), status
                   ("5.2.2"), diagnostic, report (text to attach), deferred ("1": still being tried), unknown ("1"),
                   untried ("1": the address had refused mail before), left (times it left without the relay's word),
                   relay ("1": our own relay refuses us)
forward            about!; uncertain ("1": nobody knows who the customer is), own ("1": the agent wrote it),
                   begun ("1": the agent wrote it to the customer)
command            about, in_reply_to (the command mail); done: a line for each thing done, "verb value" (value: a
                   name, or an ISO time); undo ("1": show the link), note_kept ("1"), problem,
                   verb: show, history, export … (text: the body; show and history are made here without it)
list               verb (list, search, settings …), subject (of the command mail), list (yours, mine, free …) or title,
                   count, query, more ("1": there are more), rows (JSON: [{number, subject, who, state, owner, wait,
                   span, until, late, changed, snippet}], see rows.py), stopped (JSON: [{row, ticket, reason, author,
                   subject, proven, at}]), text, done, problem; no ticket
help               topic (a verb; with synopsis, effect, examples, also, who, in_subject), subject;
                   text replaces the built-in list; with or without a ticket
digest             sections (JSON: [{title: late|yours|free, rows: [{number, subject, who, wait, span, until}]}]),
                   yours, free, late (numbers), new, closed, first_answer (seconds), away (JSON: [[name, until]]),
                   spam, held; no ticket
report             period! ("2026-w47"), first! (its first day), of (the one agent it is about), name ("2026w47"), file
                   (of the CSV), new, closed, reopened, unsolved, waiting (numbers), first_answer, first_answer_slow,
                   until_closed (seconds), before, before_first, before_first_answer (the period before), oldest (JSON:
                   [number, days, owner]), step (weekday, day, month), days (JSON: [[day, new, closed]]), agents (JSON:
                   [[name, answered, closed, open, taken, passed]]; "" nobody, "?" former), tags (JSON: [[tag, new,
                   closed, open, seconds]]); no ticket
alert              host!; alarm (a key of words.toml) with the facts its words name, reason, minutes (until it is said
                   again), over; or problem! (for the subject) and text! (the body); no ticket
welcome            nothing; no ticket
=================  ================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.outbound.notices.customer import write_ack, write_answer
from gateway.outbound.notices.held import write_expired, write_held, write_undelivered
from gateway.outbound.notices.installation import write_alert, write_welcome
from gateway.outbound.notices.order import write_command, write_help, write_list
from gateway.outbound.notices.periodic import write_digest, write_report
from gateway.outbound.notices.scene import Scene, Writing
from gateway.outbound.notices.side import write_ask, write_asked, write_third
from gateway.outbound.notices.ticket import (
    write_answered,
    write_assigned,
    write_customer_reply,
    write_escalation,
    write_forward,
    write_note,
    write_offer,
    write_reminder,
    write_unproven,
)

BUILDERS: Mapping[str, Callable[[Scene], Writing]] = {
    "ack": write_ack,
    "answer": write_answer,
    "offer": write_offer,
    "assigned": write_assigned,
    "escalation": write_escalation,
    "customer-reply": write_customer_reply,
    "answered": write_answered,
    "reminder": write_reminder,
    "note": write_note,
    "ask": write_ask,
    "third": write_third,
    "asked": write_asked,
    "held": write_held,
    "held-reminder": write_held,
    "expired": write_expired,
    "unproven": write_unproven,
    "undelivered": write_undelivered,
    "forward": write_forward,
    "command": write_command,
    "list": write_list,
    "help": write_help,
    "digest": write_digest,
    "report": write_report,
    "alert": write_alert,
    "welcome": write_welcome,
}
"""Kind of notice -> the function that finds its words and its row of mail.md 5.3."""

TO_CUSTOMERS = frozenset({"ack", "answer"})
"""Kinds that go to the customer and whoever takes part."""
OUTSIDE = TO_CUSTOMERS | {"ask"}
"""Kinds that leave the house."""

__all__ = ["BUILDERS", "OUTSIDE", "TO_CUSTOMERS", "Scene", "Writing"]
