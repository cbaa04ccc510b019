"""Every kind of mail as people see it: HTML light and dark, wide and narrow, plain text on a phone and on a desk.

    python -m bench.pictures FOLDER [--language de] [--only digest]

Writes one page and one picture a mail into FOLDER (headless Chromium; nothing is fetched), and says which mails are
wider than their window. There is nothing to assert: somebody has to look.
"""

from __future__ import annotations

import argparse
import base64
import shutil
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from pathlib import Path

from bench.browser import Browser
from bench.played import played
from bench.rough import ROUGH
from tests.rules.test_notices import VARIANTS, compose, in_language
from tests.support.golden import story

WIDE, NARROW = 800, 360
_SHEET = """<!doctype html><html><head><meta charset="utf-8"><title>{title}</title><style>
body {{ margin: 8px; font: 13px sans-serif; background: #cfd4da }}
.row {{ display: flex; gap: 8px; align-items: flex-start; margin-bottom: 8px }}
.light {{ background: #fff; color-scheme: light }} .dark {{ background: #1b1b1d; color-scheme: dark }}
iframe {{ border: 0; display: block; color-scheme: inherit }}
pre {{ background: #fff; margin: 0; padding: 8px; box-sizing: border-box; flex: none }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere }}
.phone {{ width: {narrow}px; font: 15px/1.35 sans-serif }} .desk {{ width: 80ch; font: 13px/1.35 monospace }}
</style></head><body><b>{title}</b> &nbsp; {head}<div class="row">{wide}</div><div class="row">{small}{plain}</div>
</body></html>"""


def mails(language: str) -> Iterator[tuple[str, EmailMessage]]:
    """(name, mail): the story's, every variant of every notice, mail that is hard to show, and a desk's at work."""
    settings = in_language(language)
    for name in sorted(story.NOTICES):
        yield name, read(story.compose(name, settings)[0].content)
    for name in sorted(VARIANTS):
        yield name, read(compose(name, settings).content)
    for name in sorted(ROUGH):
        yield name, read(compose(name, settings, ROUGH).content)
    for name, content in played(language):
        yield name, read(content)


def read(content: bytes) -> EmailMessage:
    mail = message_from_bytes(content, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def html_of(mail: EmailMessage) -> str:
    """The HTML part with its pictures inside; "" without one."""
    part = mail.get_body(("html",))
    html = part.get_content() if part else ""
    for picture in mail.walk():
        if picture.get_content_maintype() == "image":
            data = base64.b64encode(picture.get_payload(decode=True)).decode()  # type: ignore[arg-type]
            html = html.replace(f"cid:{str(picture['Content-ID']).strip('<>')}", f"data:image/png;base64,{data}")
    return html


def sheet(name: str, mail: EmailMessage) -> str:
    """A page that shows one mail in every way."""
    html, body = html_of(mail), mail.get_body(("plain",))
    text = escape(body.get_content() if body else "")

    def frame(scheme: str, width: int) -> str:
        inner = f'<iframe title="{scheme} {width}" width="{width}" height="10" srcdoc="{escape(html)}"></iframe>'
        return f'<div class="{scheme}" style="width:{width}px">{inner}</div>' if html else ""

    return _SHEET.format(
        title=name,
        head=escape(f"From: {mail['From']} | Subject: {mail['Subject']}"),
        wide=frame("light", WIDE) + frame("dark", WIDE),
        small=frame("light", NARROW) + frame("dark", NARROW),
        plain=f'<pre class="phone">{text}</pre><pre class="desk">{text}</pre>',
        narrow=NARROW,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language", default="en")
    parser.add_argument("--only", default="", help="names that contain this")
    options = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        parser.error("chromium is missing")
    options.folder.mkdir(parents=True, exist_ok=True)
    with Browser(program) as browser:
        for name, mail in mails(options.language):
            if options.only in name:
                page = options.folder / f"{name}.html"
                page.write_text(sheet(name, mail))
                _, wide = browser.draw(page, 2 * WIDE + 160)
                said = f"TOO WIDE: {', '.join(wide)}" if wide else ""
                print(f"{name:<34} {str(mail['Subject'])[:60]:<60} {said}".rstrip())


if __name__ == "__main__":
    main()
