"""The daily digest and the weekly report: tables a phone can read, in text and in HTML (mail.md 17)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from html import escape
from typing import Any

from gateway.address import first_name
from gateway.outbound.chart import bar_chart
from gateway.outbound.letter import Part
from gateway.outbound.markup import breaking, page
from gateway.outbound.notices.rows import (
    cell,
    close_link,
    row_lines,
    row_table,
    say_absences,
    say_period,
    say_slot,
    say_wait,
    subject_of,
)
from gateway.outbound.notices.scene import Scene, Writing
from gateway.outbound.onetap import Link

_H2 = '<h2 style="font-size:15px;margin:16px 0 4px">'
_HEAD = "font-size:12px;font-weight:normal;opacity:.75"
_MOST_LABELS = 12
_SECTIONS = ("reopened", "late", "yours", "free")


# ---------------------------------------------------------------------------------------------- digest


def _sections(scene: Scene) -> list[tuple[str, list[dict[str, Any]]]]:
    """(reopened, late, yours or free; rows), in that order, without the empty ones."""
    found = json.loads(scene.notice.data.get("sections") or "[]")
    by_title = {s.get("title"): [r for r in s.get("rows", []) if isinstance(r, dict)] for s in found}
    return [(title, by_title[title]) for title in _SECTIONS if by_title.get(title)]


def _details(scene: Scene, row: dict[str, Any]) -> tuple[str, str]:
    return cell(row.get("who", "")), say_wait(row, scene.words, scene.now)


def _row(scene: Scene, row: dict[str, Any]) -> str:
    return row_lines(f"#{row.get('number', '')}", subject_of(row, scene.words), _details(scene, row))


def _closes(scene: Scene, title: str, rows: Sequence[dict[str, Any]]) -> list[Link]:
    return [close_link(scene, int(row.get("number", 0))) for row in rows] if title == "reopened" else []


def _table(scene: Scene, rows: Sequence[dict[str, Any]], *, closes: bool = False) -> str:
    shown = [(int(row.get("number", 0)), subject_of(row, scene.words), _details(scene, row)) for row in rows]
    return row_table(scene, shown, closes=closes)


def write_digest(scene: Scene) -> Writing:
    """What is late, what is yours, what is free, and what happened since yesterday."""
    words = scene.words
    sections = _sections(scene)
    seconds = scene.fact("first_answer")
    since = scene.render(
        "digest-since.txt",
        first_answer=words.span(timedelta(seconds=float(seconds))) if seconds else "",
        away=say_absences(scene, json.loads(scene.notice.data.get("away") or "[]")),
    )
    example = sections[-1][1][0].get("number", "") if sections else ""
    text = scene.render(
        "digest.txt",
        sections=[(words.say(f"digest_{title}").upper(), [_row(scene, r) for r in rows]) for title, rows in sections],
        closes={words.say(f"digest_{title}").upper(): _closes(scene, title, rows) for title, rows in sections},
        hints={words.say(f"digest_{title}").upper(): words.say(f"digest_{title}_hint") for title in _SECTIONS},
        since=since.rstrip("\n"),
        example=example,
    )
    greeting, closing = text.split("\n", 1)[0], text.rstrip("\n").rsplit("\n", 1)[-1]
    pieces = [f"<p>{escape(greeting)}</p>"]
    for title, rows in sections:
        hint = words.say(f"digest_{title}_hint")
        pieces.append(f"{_H2}{escape(words.say(f'digest_{title}'))}{escape(' ' + hint if hint else '')}</h2>")
        pieces.append(_table(scene, rows, closes=title == "reopened"))
    if not sections:
        pieces += [f"<p>{escape(block)}</p>" for block in text.split("\n\n")[1:2]]  # that there is nothing
    pieces.append(f"{_H2}{escape(words.say('digest_since'))}</h2>")
    pieces.append("<p>" + "<br>\n".join(escape(line.strip()) for line in since.strip().split("\n")) + "</p>")
    pieces += [f"<p>{escape(closing)}</p>"] if sections else []
    numbers = {key: scene.fact(key) or "0" for key in ("yours", "free", "late")}
    short = scene.inbox.handle.capitalize() or scene.inbox.name
    day = words.named_day(words.local(scene.now).date(), year=False)
    subject = words.say("digest_subject", inbox=short, day=day, **numbers)
    html = page(words.say("digest_title", inbox=short), breaking(pieces), words.language)
    return Writing(
        from_name=scene.inbox.name,
        subject=subject,
        text=text,
        html=html if scene.settings.agent_mail.html else "",
        reply=(scene.inbox.name, "d", scene.notice.event),
        list_id=(words.say("digests", inbox=scene.inbox.name), "digest"),
        unsubscribe="digest off",
        html_wanted=False,
    )


# ---------------------------------------------------------------------------------------------- report


def _numbers_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    # Small heads and narrow gaps: six columns have to fit a phone.
    style = "padding:2px 0 2px 8px"
    first, *others = heads
    top = f'<th scope="col" align="left" style="{_HEAD}">{escape(first)}</th>' + "".join(
        f'<th scope="col" align="right" style="{style};{_HEAD}">{escape(head)}</th>' for head in others
    )
    lines = []
    for name, *values in rows:
        cells = "".join(f'<td align="right" style="{style}">{escape(cell(value))}</td>' for value in values)
        lines.append(f'<tr><th scope="row" align="left">{escape(cell(name))}</th>{cells}</tr>')
    body = "\n".join(lines)
    return (
        '<table style="border-collapse:collapse;font-size:14px">\n'
        f"<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    )


def _below_the_chart(labels: Sequence[str]) -> str:
    """The days below their bars; "" when there are too many to be read. The table beside it says the same."""
    if not labels or len(labels) > _MOST_LABELS:
        return ""
    cells = "".join(f'<td align="center" style="padding:0">{escape(label)}</td>' for label in labels)
    style = "max-width:100%;table-layout:fixed;border-collapse:collapse;font-size:12px;opacity:.8"
    return f'<table aria-hidden="true" role="presentation" width="480" style="{style}"><tr>{cells}</tr></table>'


def _bar(number: int, highest: int) -> str:
    """A bar of at most a dozen characters: longer ones break on a phone."""
    return "#" * (-(-number * 12 // highest) if highest else 0)


def _rows(scene: Scene, key: str) -> list[list[Any]]:
    return [list(row) for row in json.loads(scene.notice.data.get(key) or "[]")]


def _span(scene: Scene, key: str, *, business: bool = False) -> str:
    value = scene.notice.data.get(key, "")
    return scene.words.exact(timedelta(seconds=float(value)), business=business) if value else ""


def _times(scene: Scene) -> list[tuple[str, str]]:
    """(label, value): what a lead wants to know beside the days."""
    words, data = scene.words, scene.notice.data
    first, slow = _span(scene, "first_answer", business=True), _span(scene, "first_answer_slow", business=True)
    earlier = _span(scene, "before_first_answer", business=True)
    before = ""
    if earlier:
        period = say_period(data.get("before", ""), data.get("before_first", ""), words, short=True)
        before = words.say("time_before", period=period, span=earlier)
    closed = _span(scene, "until_closed")
    still = scene.fact("unsolved") or "0"
    if data.get("oldest"):
        number, days, owner = json.loads(data["oldest"])
        since = f"{days} {words.several('day')[0 if days == 1 else 1]}"
        still += words.say("time_oldest", number=number, days=since, who=cell(owner) or words.say("nobody"))
    none = words.say("none")
    return [
        (words.say("time_first"), words.say("time_median", span=first) + before if first else none),
        (words.say("time_slow"), slow or none),
        (words.say("time_closed"), words.say("time_median", span=closed) if closed else none),
        (
            words.say("time_reopened"),
            words.say("of_number", some=scene.fact("reopened") or "0", all=scene.fact("closed") or "0"),
        ),
        (words.say("time_open"), still),
        (words.say("time_waiting"), words.say("time_customers", number=scene.fact("waiting") or "0")),
    ]


def _agents(scene: Scene) -> list[tuple[str, ...]]:
    words, lines = scene.words, []
    for name, answered, *numbers in _rows(scene, "agents"):
        who = {"": words.say("nobody"), "?": words.say("former")}.get(str(name)) or cell(name)
        lines.append((who, "-" if not name else str(answered), *(str(n) for n in numbers)))
    return lines


def _tags(scene: Scene) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for tag, new, closed, unsolved, seconds in _rows(scene, "tags"):
        first = scene.words.exact(timedelta(seconds=float(seconds)), business=True) if seconds else "-"
        lines.append((cell(tag, 30), str(new), str(closed), str(unsolved), first))
    return lines


def _report_subject(scene: Scene) -> str:
    words, data = scene.words, scene.notice.data
    name = scene.inbox.handle.capitalize() or scene.inbox.name
    who = first_name(scene.fact("of"))
    first = _span(scene, "first_answer", business=True)
    said = words.say(
        "report_subject",
        inbox=f"{name}, {who}" if who else name,
        period=say_period(data.get("period", ""), data.get("first", ""), words, short=True),
        new=scene.fact("new") or "0",
        closed=scene.fact("closed") or "0",
    )
    return said + (words.say("report_subject_first", span=first) if first else "")


def _days(scene: Scene, days: Sequence[tuple[str, int, int]], content_id: str) -> list[str]:
    """The chart, what its bars mean, and the same as a table."""
    words = scene.words
    said = ", ".join(words.say("chart_day", day=day, new=new, closed=closed) for day, new, closed in days)
    return [
        f'<img src="cid:{escape(content_id)}" width="480" height="120" style="max-width:100%;height:auto" '
        f'alt="{escape(words.say("chart_alt", days=said))}">',
        _below_the_chart([day for day, _, _ in days]),
        f'<p style="margin:4px 0 12px">{escape(words.say("chart_caption"))}</p>',
        _numbers_table(words.several("report_columns"), days),
    ]


def write_report(scene: Scene) -> Writing:
    """Numbers of a period: text with bars, HTML tables, a chart by cid with its numbers in the alt text, a CSV."""
    words, data = scene.words, scene.notice.data
    step = data.get("step", "")
    days = [(say_slot(str(day), step, words), int(new), int(closed)) for day, new, closed in _rows(scene, "days")]
    times, agents, tags = _times(scene), _agents(scene), _tags(scene)
    title = say_period(data.get("period", ""), data.get("first", ""), words)
    title += f", {scene.fact('of')}" if scene.fact("of") else ""
    name = scene.fact("name") or "report"
    idle = any(row[0] == "" and row[2] for row in _rows(scene, "agents"))
    remark = words.say("report_nobody") if idle else ""
    highest = max((new for _, new, _ in days), default=0)
    bars = [(day, new, closed, _bar(new, highest)) for day, new, closed in days]
    # A chart of nothing is a gap, and thirty lines of 0 say no more than one of words.
    silent = "" if any(new or closed for _, new, closed in days) else words.say("report_silent")
    facts = {"times": times, "agents": agents, "tags": tags, "remark": remark, "silent": silent}
    text = scene.render("report.txt", title=title, days=bars, **facts)
    content_id = f"{name}@{scene.settings.id_domain}"
    pieces = [
        f'<h1 style="font-size:18px">{escape(title)}, {escape(scene.inbox.name)}</h1>',
        *([f"<p>{escape(silent)}</p>"] if silent else _days(scene, days, content_id)),
        f"{_H2}{escape(words.say('report_times'))}</h2>",
        "<p>" + "<br>\n".join(f"{escape(label)}: {escape(value)}" for label, value in times) + "</p>",
        f"{_H2}{escape(words.say('report_agents'))}</h2>",
        _numbers_table(words.several("agent_columns"), agents),
    ]
    pieces += [f"<p>{escape(remark)}</p>"] if remark else []
    if tags:
        pieces.append(f"{_H2}{escape(words.say('report_tags'))}</h2>")
        pieces.append(_numbers_table(words.several("tag_columns"), tags))
    pieces += [f"<p>{escape(' '.join(block.split()))}</p>" for block in text.rstrip().split("\n\n")[-2:]]
    chart = bar_chart([(new, closed) for _, new, closed in days])
    csv = "day,new,closed\n" + "".join(f"{day},{new},{closed}\n" for day, new, closed in days)
    html = page(title, breaking(pieces), words.language) if scene.settings.agent_mail.html else ""
    return Writing(
        from_name=scene.inbox.name,
        subject=_report_subject(scene),
        text=text,
        html=html,
        parts=(Part(scene.fact("file") or f"{name}.csv", "text/csv", csv.encode(), plain=csv.isascii()),),
        related=(Part(f"{name}.png", "image/png", chart, inline_id=content_id),) if html and not silent else (),
        reply=(scene.inbox.name, "d", scene.notice.event),
        list_id=(words.say("reports", inbox=scene.inbox.name), "report"),
        unsubscribe="report off",
        html_wanted=False,
    )
