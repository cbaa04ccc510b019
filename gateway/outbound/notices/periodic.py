"""The daily digest and the weekly report: tables a phone can read, in text and in HTML (mail.md 17)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from html import escape
from typing import Any

from gateway.address import clean_text
from gateway.outbound.chart import bar_chart
from gateway.outbound.letter import Part
from gateway.outbound.markup import page
from gateway.outbound.notices.scene import Scene, Writing, readable
from gateway.outbound.onetap import Link, make_link

_H2 = '<h2 style="font-size:15px;margin:16px 0 4px">'
_SECTIONS = ("late", "yours", "free")


def _line(value: object, limit: int = 60) -> str:
    return readable(clean_text(str(value), limit))


# ---------------------------------------------------------------------------------------------- digest


def _sections(scene: Scene) -> list[tuple[str, list[dict[str, Any]]]]:
    """(late, yours or free; rows), in that order, without the empty ones."""
    found = json.loads(scene.notice.data.get("sections") or "[]")
    by_title = {s.get("title"): [r for r in s.get("rows", []) if isinstance(r, dict)] for s in found}
    return [(title, by_title[title]) for title in _SECTIONS if by_title.get(title)]


def _row(row: dict[str, Any]) -> str:
    subject, who, state = (_line(row.get(key, "")) for key in ("subject", "who", "state"))
    return f"  {'#' + str(row.get('number', '')):<6} {subject[:31]:<31} {who[:14]:<14} {state}".rstrip()


def _show(scene: Scene, number: int) -> Link:
    body = scene.words.say("press_send")
    return make_link(scene.settings.keys, scene.inbox, scene.recipient, "show", number, 0, body)


def _table(scene: Scene, rows: Sequence[dict[str, Any]]) -> str:
    heads = "".join(
        f'<th scope="col" align="left">{escape(word)}</th>' for word in scene.words.several("digest_columns")
    )
    lines = []
    for row in rows:
        number = int(row.get("number", 0))
        link = f'<a href="{escape(_show(scene, number).href)}">#{number}</a>'
        cells = [f'<th scope="row" align="left" style="padding:4px 10px 4px 0">{link}</th>']
        cells += [
            f'<td style="padding:4px 10px 4px 0">{escape(_line(row.get(k, "")))}</td>' for k in ("subject", "who")
        ]
        cells.append(f'<td style="padding:4px 0">{escape(_line(row.get("state", "")))}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    body = "\n".join(lines)
    return (
        f'<table style="border-collapse:collapse;font-size:14px">\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table>"
    )


def write_digest(scene: Scene) -> Writing:
    """What is late, what is yours, what is free, and what happened since yesterday."""
    words = scene.words
    sections = _sections(scene)
    seconds = scene.fact("first_answer")
    since = scene.render(
        "digest-since.txt", first_answer=words.span(timedelta(seconds=float(seconds))) if seconds else ""
    )
    example = sections[-1][1][0].get("number", "") if sections else ""
    text = scene.render(
        "digest.txt",
        sections=[(words.say(f"digest_{title}").upper(), [_row(r) for r in rows]) for title, rows in sections],
        hints={words.say(f"digest_{title}").upper(): words.say(f"digest_{title}_hint") for title in _SECTIONS},
        since=since.rstrip("\n"),
        example=example,
    )
    greeting, closing = text.split("\n", 1)[0], text.rstrip("\n").rsplit("\n", 1)[-1]
    pieces = [f"<p>{escape(greeting)}</p>"]
    for title, rows in sections:
        hint = words.say(f"digest_{title}_hint")
        pieces.append(f"{_H2}{escape(words.say(f'digest_{title}'))}{escape(' ' + hint if hint else '')}</h2>")
        pieces.append(_table(scene, rows))
    pieces.append(f"{_H2}{escape(words.say('digest_since'))}</h2>")
    pieces.append("<p>" + "<br>\n".join(escape(line.strip()) for line in since.strip().split("\n")) + "</p>")
    pieces.append(f"<p>{escape(closing)}</p>")
    numbers = {key: scene.fact(key) or "0" for key in ("yours", "free", "late")}
    short = scene.inbox.handle.capitalize() or scene.inbox.name
    day = f"{words.weekday(scene.now)} {words.local(scene.now).day} {words.month(scene.now)}"
    subject = words.say("digest_subject", inbox=short, day=day, **numbers)
    html = page(words.say("digest_title", inbox=short), "\n".join(pieces), words.language)
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


def _numbers_table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    first, *others = heads
    top = f'<th scope="col" align="left">{escape(first)}</th>' + "".join(
        f'<th scope="col">{escape(head)}</th>' for head in others
    )
    lines = []
    for name, *values in rows:
        cells = "".join(
            f'<td align="right" style="padding:2px 10px 2px 0">{escape(_line(value))}</td>' for value in values
        )
        lines.append(f'<tr><th scope="row" align="left">{escape(_line(name))}</th>{cells}</tr>')
    body = "\n".join(lines)
    return (
        f'<table style="border-collapse:collapse">\n<caption style="text-align:left">{escape(caption)}</caption>\n'
        f"<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    )


def write_report(scene: Scene) -> Writing:
    """Numbers of a period: text with bars, HTML tables, a chart by cid with its numbers in the alt text, a CSV."""
    words, data = scene.words, scene.notice.data
    days = [(_line(d[0]), int(d[1]), int(d[2])) for d in json.loads(data.get("days") or "[]")]
    times = [(_line(t[0]), _line(t[1], 200)) for t in json.loads(data.get("times") or "[]")]
    agents = [tuple(_line(v) for v in a) for a in json.loads(data.get("agents") or "[]")]
    title, name = scene.fact("title"), scene.fact("name") or "report"
    text = scene.render("report.txt", title=title, days=days, times=times, agents=agents, remark=scene.fact("remark"))
    content_id = f"{name}@{scene.settings.id_domain}"
    said = ", ".join(words.say("chart_day", day=day, new=new, closed=closed) for day, new, closed in days)
    columns, agent_columns = words.several("report_columns"), words.several("agent_columns")
    pieces = [
        f'<h1 style="font-size:18px">{escape(title)}, {escape(scene.inbox.name)}</h1>',
        f'<img src="cid:{escape(content_id)}" width="480" height="120" style="max-width:100%;height:auto" '
        f'alt="{escape(words.say("chart_alt", days=said))}">',
        _numbers_table(words.say("chart_caption"), columns, days),
        f'<h2 style="font-size:15px">{escape(words.say("report_times"))}</h2>',
        "<p>" + "<br>\n".join(f"{escape(label)}: {escape(value)}" for label, value in times) + "</p>",
        _numbers_table(words.say("report_agents"), agent_columns, agents),
    ]
    pieces += [f"<p>{escape(scene.fact('remark'))}</p>"] if scene.fact("remark") else []
    pieces.append(f"<p>{escape(' '.join(text.rstrip().rsplit(chr(10) * 2, 1)[-1].split()))}</p>")
    chart = bar_chart([(new, closed) for _, new, closed in days])
    csv = "day,new,closed\n" + "".join(f"{day},{new},{closed}\n" for day, new, closed in days)
    html = page(title, "\n".join(pieces), words.language) if scene.settings.agent_mail.html else ""
    return Writing(
        from_name=scene.inbox.name,
        subject=scene.fact("subject") or title,
        text=text,
        html=html,
        parts=(Part(scene.fact("file") or f"{name}.csv", "text/csv", csv.encode(), plain=csv.isascii()),),
        related=(Part(f"{name}.png", "image/png", chart, inline_id=content_id),) if html else (),
        reply=(scene.inbox.name, "d", scene.notice.event),
        list_id=(words.say("reports", inbox=scene.inbox.name), "report"),
        unsubscribe="report off",
        html_wanted=False,
    )
