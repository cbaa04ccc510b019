"""``#show 4827 files`` wants the files of mails that were read long ago: they are read once more, in the cage.

Like a text that is compared (pipeline.py), before the transaction that decides. What is read here proves nothing and
shows nobody anything: who may see which ticket is decided later, and a mail that is not among these by then goes as it
came.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from gateway.analysis.cage import Cage
from gateway.desk.choices import with_choices
from gateway.desk.commands import read_commands, read_subject
from gateway.desk.reading import read_reference
from gateway.desk.shown_files import wanted_files
from gateway.model import Findings, InboundMail, Origin, Proof
from gateway.questions import Original, Originals
from gateway.settings import Settings
from gateway.store import answers, tickets
from gateway.store.conversation import find_proposed
from gateway.store.database import Database
from gateway.threading.clues import find_clues

MOST_OCTETS = 64 * 1024 * 1024
"""Of mails that are read for one answer; the newest come first."""


async def unpack(mail: InboundMail, findings: Findings, cage: Cage, database: Database, settings: Settings) -> Findings:
    """The findings with the files of the mails that an agent's mail asks for; of nearly every mail nothing is asked."""
    if not _find_orders(mail, findings, settings):
        return findings
    wanted = await database.read(lambda tx: find_wanted(tx, mail, findings, settings))
    return replace(findings, unpacked={one.sha256: await cage.unpack(one.raw, mail.envelope) for one in wanted})


def find_wanted(tx: Connection, mail: InboundMail, findings: Findings, settings: Settings) -> tuple[Original, ...]:
    """The mails with files of the tickets that are asked about, as they came; nothing for who is no agent."""
    orders = _find_orders(mail, findings, settings)
    author = findings.authentication.author
    if not orders or author is None:
        return ()
    agent = with_choices(settings, tickets.agent_choices(tx)).find_agent(author.address)
    proven = findings.authentication.proof in (Proof.DKIM, Proof.SUBMISSION)
    if agent is None or not (proven or agent.authentication == "token"):
        return ()
    clues = find_clues(findings.message, findings.body, mail.envelope, settings.keys, settings, findings.reports)
    token = next((token for token in (*clues.tokens, *clues.own_ids) if token.ticket), None)
    found: dict[str, Original] = {}
    left = MOST_OCTETS
    for number in dict.fromkeys(order or find_proposed(tx, clues) for order in orders):
        ticket = tickets.follow_merges(tickets.load_tickets(tx, [number])).get(number)
        if ticket is None:
            continue
        answered = token.event if token and token.ticket == ticket.number else 0
        for event in wanted_files(ticket, answered):
            question = Originals(ticket.number, (event,))
            for original in answers.answer(tx, [question])[question]:  # type: ignore[union-attr]
                if isinstance(original, Original) and original.sha256 not in found and len(original.raw) <= left:
                    left -= len(original.raw)
                    found[original.sha256] = original
    return tuple(found.values())


def _find_orders(mail: InboundMail, findings: Findings, settings: Settings) -> tuple[int, ...]:
    """The tickets that the mail's words ask the files of, 0 for the one it answers; empty when it asks for none."""
    if findings.origin is not Origin.PERSON or mail.instruction is not None:
        return ()
    rules, body = settings.commands, findings.body
    subject = read_subject(findings.message.subject, rules)
    said = [subject.command] if subject.command else []
    for text in dict.fromkeys((body.new, body.command_text or "")):
        orders = read_commands(text, "ticket", rules)
        said += [*orders.commands, *orders.others]
    references = (read_reference(command.argument) for command in said if command.verb == "show")
    return tuple(number or subject.ticket for number, part in references if part == "files")
