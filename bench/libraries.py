"""Public libraries on the same rows, as far as they are installed (bench/requirements.txt).

Each gets its best case: HTML where it reads HTML, every language it knows, the part a person would read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from email import message_from_bytes, policy
from email.utils import parseaddr

from bench.tally import Row
from gateway.analysis import talon_voice  # noqa: F401  puts a stub before talon's machine learning, which cannot load
from gateway.analysis.html import html_to_text

ReplyReader = Callable[[Row, bytes], str]


def reply_readers() -> dict[str, ReplyReader]:
    """Who takes replies apart; "nothing" hands the text through."""
    readers: dict[str, ReplyReader] = {"nothing": _plain}
    for name, load in (
        ("talon", _talon),
        ("email-reply-parser", _email_reply_parser),
        ("mail-parser-reply", _mail_parser_reply),
        ("quotequail", _quotequail),
    ):
        try:
            readers[name] = load()
        except ImportError:
            continue
    return readers


def forward_reader() -> Callable[[str], dict[str, str]] | None:
    """quotequail, if it is installed; {} from it where it sees no forward."""
    try:
        import quotequail
    except ImportError:
        return None

    def read(text: str) -> dict[str, str]:
        found = quotequail.unwrap(text) or {}
        if found.get("type") != "forward":
            return {}
        name, address = parseaddr(found.get("from") or "")
        return {
            "author": address,
            "name": name,
            "subject": found.get("subject") or "",
            "body": found.get("text") or "",
            "message": found.get("text_top") or "",
        }

    return read


def bounce_reader() -> Callable[[bytes], tuple[set[str], set[str]]] | None:
    """flufl.bounce, if it is installed: recipients that failed for now, and for good."""
    try:
        from flufl.bounce import all_failures
    except ImportError:
        return None

    def read(raw: bytes) -> tuple[set[str], set[str]]:
        for_now, for_good = all_failures(message_from_bytes(raw))
        return _names(for_now), _names(for_good)

    return read


def _names(addresses: Iterable[bytes | str]) -> set[str]:
    return {(a.decode("utf-8", "replace") if isinstance(a, bytes) else a).lower() for a in addresses}


def _input(row: Row, raw: bytes) -> tuple[str, str]:
    if row["kind"] != "eml":
        return row["kind"], raw.decode("utf-8", "replace").replace("\r\n", "\n")
    mail = message_from_bytes(raw, policy=policy.default)
    part = mail.get_body(preferencelist=("plain", "html"))
    if part is None:
        return "text", ""
    return "html" if part.get_content_subtype() == "html" else "text", part.get_content().replace("\r\n", "\n")


def _plain(row: Row, raw: bytes) -> str:
    kind, text = _input(row, raw)
    return html_to_text(text) if kind == "html" else text


def _talon() -> ReplyReader:
    from talon import quotations

    quotations.register_xpath_extensions()

    def read(row: Row, raw: bytes) -> str:
        kind, text = _input(row, raw)
        if kind == "html":
            return html_to_text(quotations.extract_from_html(text))
        return str(quotations.extract_from_plain(text))

    return read


def _email_reply_parser() -> ReplyReader:
    from email_reply_parser import EmailReplyParser

    return lambda row, raw: str(EmailReplyParser.parse_reply(_plain(row, raw)))


def _mail_parser_reply() -> ReplyReader:
    from mailparser_reply import EmailReplyParser
    from mailparser_reply.constants import MAIL_LANGUAGES

    parser = EmailReplyParser(languages=list(MAIL_LANGUAGES))

    def read(row: Row, raw: bytes) -> str:
        replies = parser.read(_plain(row, raw)).replies
        return str(replies[0].body) if replies else ""

    return read


def _quotequail() -> ReplyReader:
    import quotequail

    def read(row: Row, raw: bytes) -> str:
        kind, text = _input(row, raw)
        if kind == "html":
            parts = quotequail.quote_html(text, quote_intro_line=True)
            return html_to_text("".join(part for own, part in parts if own))
        return "\n".join(part for own, part in quotequail.quote(text, quote_intro_line=True) if own)

    return read
