"""Plain text as it is meant to be read: line ends, format=flowed (RFC 3676), text/enriched (RFC 1896)."""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def tidy_lines(text: str) -> str:
    """LF line ends; a form feed becomes a line end, other controls go away."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _CONTROLS.search(text):
        text = _CONTROLS.sub("", text.replace("\f", "\n"))
    return text


def unflow(text: str, delete_space: bool = False) -> str:
    """Join soft line breaks of format=flowed at equal quote depth; space-stuffing is undone.

    ``delete_space`` is DelSp=yes: the blank before a soft break was only there to mark it.
    """
    out: list[str] = []
    open_depth = -1  # quote depth of a line that continues on the next one
    pieces: list[str] = []
    for line in text.split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        if content.startswith(" "):
            content = content[1:]
        if open_depth >= 0 and depth != open_depth:
            out.append(_quoted("".join(pieces).rstrip(" "), open_depth))
            pieces, open_depth = [], -1
        if content == "-- ":  # the signature mark is never joined, nor joined to (RFC 3676 section 4.3)
            if open_depth >= 0:
                out.append(_quoted("".join(pieces).rstrip(" "), open_depth))
                pieces, open_depth = [], -1
            out.append(_quoted(content, depth))
        elif content.endswith(" "):
            pieces.append(content[:-1] if delete_space else content)
            open_depth = depth
        else:
            pieces.append(content)
            out.append(_quoted("".join(pieces), depth))
            pieces, open_depth = [], -1
    if open_depth >= 0:
        out.append(_quoted("".join(pieces), open_depth))
    return "\n".join(out)


def _quoted(text: str, depth: int) -> str:
    if not depth:
        return text
    return f"{'>' * depth} {text}" if text else ">" * depth


_COMMAND = re.compile(r"<<|<(/?)([A-Za-z0-9\-]{1,60})>")


def enriched_to_text(text: str) -> str:
    """text/enriched and its elder text/richtext without their commands; line breaks by the rule of RFC 1896."""
    text = re.sub(r"\n(\n*)", lambda found: found[1] or " ", text)
    hidden = 0
    out: list[str] = []
    position = 0
    for found in _COMMAND.finditer(text):
        if not hidden:
            out.append(text[position : found.start()])
        position = found.end()
        if found[0] == "<<":
            out.append("<")
            continue
        name = found[2].lower()
        if name in ("param", "comment"):
            hidden = max(hidden + (-1 if found[1] else 1), 0)
        elif name == "nl" or (name in ("paragraph", "excerpt") and found[1]):
            out.append("\n")
    if not hidden:
        out.append(text[position:])
    return "".join(out)
