"""Answers to commands: what was done, a ticket or its history by mail, lists, search results, help (mail.md 14)."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from gateway.address import clean_text
from gateway.model import EventFact
from gateway.outbound import thread
from gateway.outbound.addressing import display_address
from gateway.outbound.letter import Part, is_message_id
from gateway.outbound.markup import agent_page
from gateway.outbound.notices.history import history_line
from gateway.outbound.notices.misplaced import write_misplaced
from gateway.outbound.notices.problems import say_decided, say_problem
from gateway.outbound.notices.rows import (
    cell,
    row_lines,
    row_table,
    say_age,
    say_day,
    say_state,
    subject_of,
)
from gateway.outbound.notices.scene import Scene, Writing, readable
from gateway.outbound.notices.ticket import agent_row, direct_thread, root_thread, writing
from gateway.outbound.notices.ticket_files import say_files
from gateway.outbound.notices.undone import say_undone
from gateway.outbound.onetap import Link, make_links

_TAPPED_ROWS = 10
"""Rows of the quarantine with links: three to a row make a long mail."""
_ARGUMENT = re.compile(r"[A-Z]{2,}")  # what stands for something else in a synopsis
_CODED = {"prio": "prio", "digest": "set", "report": "set", "quiet": "set"}
"""Verbs whose value may be a code: where words.toml has its word."""
_SHOWN_KINDS = ("mail", "answer", "note", "asked", "third")


def _value(scene: Scene, value: str) -> str:
    """A command's resolved argument; times are always said in full, because "tomorrow" was the agent's word."""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return clean_text(value)
    return scene.words.full(at) if at.tzinfo else clean_text(value)


def _done(scene: Scene) -> list[str]:
    """One line for each thing done: ``4827 is yours.``"""
    said = []
    for line in scene.notice.data.get("done", "").splitlines():
        verb, _, value = line.strip().partition(" ")
        if verb == "undo":
            said.append(say_undone(scene, value))
        elif verb:
            key = f"done_{verb}" if scene.words.knows(f"done_{verb}") else "done_other"
            value = say_decided(scene) or value if verb == "before" else value
            table = _CODED.get(verb, "")
            shown = _worded(scene, table, value) if table else _value(scene, value)
            said.append(scene.words.say(key, verb=verb, value=shown, number=scene.number or ""))
    return said


def _message(scene: Scene, event: EventFact) -> str:
    """One message of ``#show``: a line that says who, when and whether it is internal, then the text."""
    author = scene.person(event.party)
    # Whoever left the desk is not the customer.
    who = scene.name(author) if author or event.kind == "mail" else scene.words.say("someone")
    head = f"{event.number}. {who}, {scene.words.full(event.at)}"
    third = scene.third_of(event)
    if third:
        name, address = scene.name(third), display_address(third.address)
        shown = name if name == address else f"{name} <{address}>"
        head += f" ({scene.words.say('beside', name=shown)})"
    else:
        head += "" if event.public else f" ({scene.words.say('internal')})"
    head = f"--- {head} ---"
    files = "".join(f"\n  [{readable(name)}]" for name in event.attachments)
    if event.kind not in _SHOWN_KINDS:
        return f"{head}\n\n{scene.absence(event)}"
    return f"{head}\n\n{readable(event.text) or scene.words.say('no_text')}{files}"


def _worded(scene: Scene, table: str, code: str) -> str:
    """A code in words, where words.toml has some."""
    key = f"{table}_{code}"
    return scene.words.say(key) if scene.words.knows(key) else clean_text(code)


def _body(scene: Scene, verb: str) -> str:
    if scene.notice.text:
        return readable(scene.notice.text)
    if verb == "show":
        shown = [e for e in scene.ticket.events if e.kind in _SHOWN_KINDS or scene.absence(e)]
        return "\n\n".join(_message(scene, event) for event in reversed(shown))
    if verb == "history":
        return "\n".join(history_line(scene, e) for e in scene.ticket.events if e.number != scene.notice.event)
    return ""


def write_command(scene: Scene) -> Writing:
    """The answer to a command: one short mail in the ticket's thread, or to the person when it is about no ticket."""
    if not scene.has_ticket:
        return write_list(scene)
    notice = scene.notice
    if notice.reason == "misplaced":
        return write_misplaced(scene)
    verb = scene.fact("verb")
    orders = ("undo",) if scene.flag("undo") else ("claim",) if scene.flag("claim") else ()
    links = scene.links(orders, notice.event)
    parts, left_out = scene.files(notice.attachments, scene.settings.customer.attachments_max)
    body, named = _body(scene, verb), [p.name for p in parts]
    if (verb, scene.fact("part")) == ("show", "files"):
        body, parts = say_files(scene, scene.settings.customer.attachments_max)
        verb, named, left_out = "files", [], ()
    text = scene.render(
        "command.txt",
        done=_done(scene),
        problem=_problem(scene),
        note_kept=scene.flag("note_kept"),
        body=body,
        verb=_worded(scene, "verb", verb),
        files=named,
        left_out=left_out,
        links=links,
        subject=thread.plain_subject(scene.ticket, scene.words.say("no_subject")),
    )
    row = direct_thread(scene, notice.in_reply_to) if notice.in_reply_to else root_thread(scene, [])
    return writing(
        agent_row(scene, "a", notice.event),
        row,
        from_name=scene.inbox.name,
        text=text,
        parts=parts,
        auto_submitted="auto-replied",
        ticket_event="command",
        links=links,
    )


def _rows(scene: Scene, key: str) -> list[dict[str, Any]]:
    found = json.loads(scene.notice.data.get(key) or "[]")
    return [row for row in found if isinstance(row, dict)]


def _row_line(scene: Scene, row: dict[str, Any]) -> str:
    snippet = cell(row.get("snippet", ""), 100)
    below = f'"... {snippet} ..."' if snippet else ""
    return row_lines(f"#{row.get('number', '')}", subject_of(row, scene.words), _details(scene, row), below)


def _details(scene: Scene, row: dict[str, Any]) -> tuple[str, ...]:
    """Whose it is or its state, the customer, since when; "closed" once, where nothing more is to be said."""
    words = scene.words
    state, age = say_state(row, words), say_age(row, words, scene.now)
    return (state, cell(row.get("who", ""), 40), *((age,) if age != state else ()))


def _table(scene: Scene, rows: list[dict[str, Any]]) -> str:
    words = scene.words
    return row_table(
        scene, [(int(row.get("number") or 0), subject_of(row, words), _details(scene, row)) for row in rows]
    )


def _stopped_line(scene: Scene, row: dict[str, Any], links: tuple[Link, ...]) -> str:
    """One held or quarantined mail: its row, the ticket it waits beside, why, whose, since when, about what; its links.

    Author and subject are what the mail says; that nothing proves it is said beside them.
    """
    where = f"#{row['ticket']}" if row.get("ticket") else ""
    when = say_day(datetime.fromisoformat(str(row["at"])), scene.words, scene.now, clock=True)
    author = cell(row.get("author") or scene.words.say("nobody"))
    why = _worded(scene, "stopped", str(row["reason"]))
    subject = subject_of(row, scene.words)
    said = f'"{subject}"' if row.get("subject") else subject
    said += "" if row.get("proven") else f" ({scene.words.say('stopped_author-unproven')})"
    line = row_lines(f"q{row['row']}", said, (author, why, where, when))
    return "\n".join((line, *(f"         {_tapped(scene, link)}:  {link.href}" for link in links)))


def _tapped(scene: Scene, link: Link) -> str:
    verb, _, row = link.label.partition(" ")
    return f"{row} {scene.words.say(f'tap_{verb}')}"


def _row_links(scene: Scene, row: dict[str, Any]) -> tuple[Link, ...]:
    """``notspam q17`` and the like: no ticket, so the link is good for this lead and these orders only."""
    orders = [f"{verb} q{row['row']}" for verb in ("notspam", "spam", "block")] if row.get("decidable") else []
    body = scene.words.say("press_send")
    return make_links(scene.settings.keys, scene.inbox, scene.recipient, orders, 0, 0, body)


def _title(scene: Scene, rows: int) -> str:
    """``12 tickets of yours or free``; "" where the mail is no list."""
    what, count = scene.fact("list"), int(scene.fact("count") or 0)
    if not what:
        return readable(scene.fact("title"))
    one, many = scene.words.several(f"list_{what}" if scene.words.knows_list(f"list_{what}") else "list_all")
    said = f"{count} {one if count == 1 else many}"
    return said + (scene.words.say("list_first", number=rows) if count > rows else "")


def _problem(scene: Scene) -> str:
    """Why nothing was done, as one sentence; "" when it was."""
    if scene.fact("problem"):
        return scene.fact("problem")
    said = _sentence(say_problem(scene))
    return f"{said}." if said and said[-1:] not in ".?!" else said


def _sentence(said: str) -> str:
    """With a capital, unless it begins with an address or the row of a list."""
    first = said.partition(" ")[0]
    return said if "@" in first or any(c.isdigit() for c in first) else f"{said[:1].upper()}{said[1:]}"


def write_list(scene: Scene) -> Writing:
    """A list, a search result, help about nothing in particular, own settings: answer with a number or a command."""
    notice, words = scene.notice, scene.words
    search = scene.fact("verb") == "search"
    rows = _rows(scene, "rows")
    held = _rows(scene, "stopped")
    links = [_row_links(scene, row) if n < _TAPPED_ROWS else () for n, row in enumerate(held)]
    stopped = [_stopped_line(scene, row, taps) for row, taps in zip(held, links, strict=True)]
    parts, _ = scene.files(notice.attachments, scene.settings.customer.attachments_max)
    lines = [_row_line(scene, row) for row in rows]
    text = scene.render(
        "list.txt",
        done=[_sentence(line) for line in _done(scene)],
        problem=_problem(scene),
        title=_title(scene, len(rows) or len(stopped)),
        query=readable(scene.fact("query")),
        search=search,
        count=scene.fact("count") or str(len(rows)),
        more=scene.flag("more"),
        rows=[*lines, *stopped],
        example=rows[-1].get("number", "") if rows else "",
        body=readable(notice.text),
        unsent=readable(notice.data.get("unsent", "")),
        verb=scene.fact("verb"),
        hint=words.say("stopped_hint") if stopped else "",
    )
    name = words.say("search") if search else scene.inbox.name
    taps = tuple(link for each in links for link in each)
    if search:
        return _personal(scene, name, text, parts=parts, html=False)
    return _personal(scene, name, text, taps, parts, instead=("\n".join(lines), _table(scene, rows) if rows else ""))


def write_help(scene: Scene) -> Writing:
    """All verbs, or one. In a ticket's thread when it was asked there."""
    topic = scene.fact("topic")
    template = f"help-{topic}.txt"
    found = topic.isalpha() and topic != "status" and scene.words.has(template)  # help-status.txt is the status line
    about = f"about_{topic}"
    text = scene.render(
        template if found else "help-verb.txt" if scene.fact("effect") else "help.txt",
        topic=topic,
        verb=topic,
        synopsis=_ARGUMENT.sub(lambda found: _worded(scene, "arg", found[0]), scene.fact("synopsis")),
        effect=scene.words.say(about) if scene.words.knows(about) else scene.fact("effect"),
        examples=[clean_text(line) for line in scene.notice.data.get("examples", "").splitlines()],
        also=scene.fact("also"),
        who=scene.fact("who"),
        subject=scene.flag("in_subject"),
        body=readable(scene.notice.text),
        lead=scene.settings.agents[scene.recipient.agent].role == "lead"
        if scene.recipient.agent in scene.settings.agents
        else False,
    )
    if not scene.has_ticket:
        return _personal(scene, scene.inbox.name, text)
    notice = scene.notice
    status = scene.render("help-status.txt")
    row = direct_thread(scene, notice.in_reply_to) if notice.in_reply_to else root_thread(scene, [])
    return writing(
        agent_row(scene, "a", notice.event),
        row,
        from_name=scene.inbox.name,
        text=f"{status}\n{text}",
        auto_submitted="auto-replied",
        ticket_event="command",
    )


def _personal(
    scene: Scene,
    name: str,
    text: str,
    links: tuple[Link, ...] = (),
    parts: tuple[Part, ...] = (),
    *,
    instead: tuple[str, str] = ("", ""),
    html: bool = True,
) -> Writing:
    """The row "search result; list, help, settings" of mail.md 5.3; ``instead``: see ``markup.agent_page``."""
    notice = scene.notice
    answered = notice.in_reply_to if is_message_id(notice.in_reply_to) else ""
    subject = readable(scene.fact("subject")) or scene.fact("verb") or "ticketgate"
    hrefs = frozenset(link.href for link in links)
    wanted = html and scene.settings.agent_mail.html
    return Writing(
        from_name=name,
        subject=f"Re: {subject.removeprefix('Re: ')}",
        text=text,
        html=agent_page(text, ticket=0, title=subject, language=scene.words.language, hrefs=hrefs, instead=instead)
        if wanted
        else "",
        reply=(name, "d", notice.event),
        in_reply_to=answered,
        references=thread.join([], [], answered),
        auto_submitted="auto-replied" if answered else "auto-generated",
        html_wanted=False,
        links=links,
        parts=parts,
    )
