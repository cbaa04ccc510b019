"""ticketgate search, ticketgate report: what agents ask by mail, at the terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from gateway.cli.exits import OK, USAGE
from gateway.cli.opening import add_config, opened, read_settings
from gateway.cli.table import print_table, to_json, when
from gateway.desk.figures import Figures, TagFigures, compute, worked_in
from gateway.desk.lines import say_span, say_who
from gateway.desk.periods import read_period, split_words
from gateway.desk.searching import SearchError, read_search
from gateway.model import Person
from gateway.questions import EventLog, Log, Search, TicketLine
from gateway.settings import Settings
from gateway.store import answers
from gateway.store.people import find_persons


def run(command: str, arguments: Sequence[str]) -> int:
    """Search tickets, or print the numbers of a period."""
    return _search(arguments) if command == "search" else _report(arguments)


def _search(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="ticketgate search",
        description="Tickets with all of these, newest first.",
        epilog='words "exact words" -not  from: to: subject: tag: owner:alice is:open is:closed has:attachment '
        "after:2026-10-01 before:2w",
    )
    add_config(parser)
    parser.add_argument("query", nargs="+", metavar="QUERY", help="put it after -- when it begins with -")
    parser.add_argument("--inbox", action="append", help="only this one; default: all")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args(arguments)
    settings = read_settings(options, secrets=False)
    with opened(settings) as tx:
        agents = {person.agent: person.party for person in find_persons(tx, agents=True) if person.agent}
        try:
            terms = read_search(_joined(options.query), agents, "", datetime.now(UTC), settings.ticketgate.timezone)
        except SearchError as error:
            print(f"ticketgate search: I cannot search for {error}", file=sys.stderr)
            return USAGE
        question = Search(tuple(options.inbox or settings.inbox), terms, options.limit)
        found = [line for line in _tuple(answers.answer(tx, [question])[question]) if isinstance(line, TicketLine)]
    rows = [
        {
            "ticket": line.number,
            "state": line.state.value,
            "owner": line.owner.agent if line.owner else "",
            "customer": say_who(line.customer),
            "subject": line.subject or "(no subject)",
            "changed": when(line.changed_at),
            "inbox": line.inbox,
            "found": line.snippet,
        }
        for line in found[: options.limit]
    ]
    columns = ["ticket", "state", "owner", "customer", "subject", "changed"]
    print_table(rows, columns, stretch="subject", as_json=options.json)
    if len(found) > options.limit:
        print(f"more than {options.limit}; --limit shows more", file=sys.stderr)
    return OK


def _joined(words: Sequence[str]) -> str:
    """The query as written: what the shell took the quotation marks from was an exact phrase."""
    return " ".join(f'"{word}"' if " " in word and ":" not in word and '"' not in word else word for word in words)


def _report(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="ticketgate report", description="Numbers of a period, from the event log; default: the last full week."
    )
    add_config(parser)
    parser.add_argument("words", nargs="*", metavar="PERIOD", help="week 46, october, 2026-10, alice last month, …")
    parser.add_argument("--inbox", action="append", help="only this one; default: all")
    parser.add_argument("--csv", action="store_true", help="day,new,closed")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    settings = read_settings(options, secrets=False)
    now = datetime.now(UTC)
    words, who = split_words(" ".join(options.words), settings.agents)
    period = read_period(words, now, settings.ticketgate.timezone)
    if period is None:
        print(f"ticketgate report: {words!r} is no period that has begun, and no agent", file=sys.stderr)
        return USAGE
    with opened(settings) as tx:
        people = {person.party: person for person in find_persons(tx, agents=True)}
        question = Log(tuple(options.inbox or settings.inbox), period.since, period.until)
        log = answers.answer(tx, [question])[question]
    party = next((p.party for p in people.values() if who and p.agent.lower() == who.lower()), 0)
    figures = compute(log if isinstance(log, EventLog) else EventLog(), period, worked_in(settings), party)
    if options.json:
        print(to_json(_to_json(figures, people)))
    elif options.csv:
        print("day,new,closed")
        for day, new, closed in figures.days:
            print(f"{day.isoformat()},{new},{closed}")
    else:
        _print(figures, people, settings)
    return OK


def _print(figures: Figures, people: dict[int, Person], settings: Settings) -> None:
    print(f"{figures.period.title}  ({settings.ticketgate.timezone})\n")
    label = figures.period.label
    rows: list[dict[str, object]] = [{"day": label(d), "new": new, "closed": closed} for d, new, closed in figures.days]
    rows.append({"day": "total", "new": figures.new, "closed": figures.closed})
    print_table(rows, ["day", "new", "closed"], stretch="day", as_json=False)
    first, slow = _hours(figures.first_answer), _hours(figures.first_answer_slow)
    print(f"\nfirst answer  median {first}, slowest 10 % {slow}  (business hours)")
    print(f"until closed  median {say_span(figures.until_closed)}")
    print(f"reopened      {figures.reopened} of {figures.closed}")
    print(f"open now      {figures.unsolved}" + (f", oldest #{figures.oldest.number}" if figures.oldest else ""))
    print(f"waiting       {figures.waiting} for an answer of ours\n")
    columns = ["agent", "answered", "closed", "open", "taken", "passed"]
    print_table(_agent_rows(figures, people), columns, stretch="agent", as_json=False)
    if figures.tags:
        print()
        tags = [{**row, "first_answer": _hours(tag.first_answer)} for row, tag in _tag_rows(figures)]
        print_table(tags, ["tag", "new", "closed", "open", "first_answer"], stretch="tag", as_json=False)


def _hours(span: timedelta | None) -> str:
    """Business time: in hours, because a business day has no 24."""
    if span is None or span < timedelta(days=1):
        return say_span(span)
    return f"{span // timedelta(hours=1)} h {span % timedelta(hours=1) // timedelta(minutes=1):02}"


def _agent_rows(figures: Figures, people: dict[int, Person]) -> list[dict[str, object]]:
    return [
        {
            "agent": _name(agent.party, people),
            "answered": agent.answered,
            "closed": agent.closed,
            "open": agent.unsolved,
            "taken": agent.taken,
            "passed": agent.passed,
        }
        for agent in figures.agents
    ]


def _tag_rows(figures: Figures) -> list[tuple[dict[str, object], TagFigures]]:
    return [({"tag": t.tag, "new": t.new, "closed": t.closed, "open": t.unsolved}, t) for t in figures.tags]


def _to_json(figures: Figures, people: dict[int, Person]) -> dict[str, object]:
    def seconds(name: str) -> float | None:
        span = getattr(figures, name)
        return span.total_seconds() if span is not None else None

    return {
        "period": figures.period.name,
        "since": figures.period.since.isoformat(),
        "until": figures.period.until.isoformat(),
        "days": [{"day": day.isoformat(), "new": new, "closed": closed} for day, new, closed in figures.days],
        "new": figures.new,
        "closed": figures.closed,
        "reopened": figures.reopened,
        "first_answer_median_seconds": seconds("first_answer"),
        "first_answer_90_percent_seconds": seconds("first_answer_slow"),
        "until_closed_median_seconds": seconds("until_closed"),
        "open_now": figures.unsolved,
        "waiting": figures.waiting,
        "oldest": figures.oldest.number if figures.oldest else None,
        "agents": _agent_rows(figures, people),
        "tags": [
            {**row, "first_answer_median_seconds": t.first_answer.total_seconds() if t.first_answer else None}
            for row, t in _tag_rows(figures)
        ],
    }


def _name(party: int, people: dict[int, Person]) -> str:
    if not party:
        return "nobody"
    person = people.get(party)
    return person.agent if person and person.agent else f"party {party}"


def _tuple(found: object) -> tuple[object, ...]:
    return found if isinstance(found, tuple) else ()
