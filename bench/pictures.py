"""Every kind of mail as people see it: HTML light and dark, wide and narrow, and plain text as a phone wraps it.

    python -m bench.pictures FOLDER [--language de] [--only digest]

Writes one page and one picture a mail into FOLDER (headless Chromium; nothing is fetched), and says which mails are
wider than a phone. There is nothing to assert: somebody has to look.
"""

from __future__ import annotations

import argparse
import base64
import re
import shutil
import subprocess
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from pathlib import Path

from tests.rules.test_notices import VARIANTS, compose, in_language
from tests.support.golden import story

WIDE, NARROW = 900, 360
_SHEET = """<!doctype html><html><head><meta charset="utf-8"><title>{title}</title><style>
body {{ margin: 12px; font: 13px sans-serif; background: #cfd4da }}
.row {{ display: flex; gap: 12px; align-items: flex-start; margin-bottom: 12px }}
.light {{ background: #fff; color-scheme: light }} .dark {{ background: #1b1b1d; color-scheme: dark }}
iframe {{ border: 0; display: block; color-scheme: inherit }}
pre {{ background: #fff; width: {narrow}px; margin: 0; padding: 8px; box-sizing: border-box; white-space: pre-wrap;
  overflow-wrap: anywhere; font: 15px/1.35 sans-serif }}
</style></head><body><b>{title}</b> &nbsp; {head}<div class="row">{wide}</div><div class="row">{small}{plain}</div>
<script>
addEventListener("load", () => {{
  for (const frame of document.querySelectorAll("iframe")) {{
    const inside = frame.contentDocument.documentElement;
    frame.style.height = inside.scrollHeight + "px";
    if (inside.scrollWidth > frame.clientWidth) document.title += " TOO-WIDE-" + frame.width + "-" + inside.scrollWidth;
  }}
  document.title += " HEIGHT-" + document.documentElement.scrollHeight;
}});</script></body></html>"""


def mails(language: str) -> Iterator[tuple[str, EmailMessage]]:
    """(name, mail): the story's, then every variant of every notice."""
    settings = in_language(language)
    for name in sorted(story.NOTICES):
        yield name, read(story.compose(name, settings)[0].content)
    for name in sorted(VARIANTS):
        yield name, read(compose(name, settings).content)


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

    def frame(scheme: str, width: int) -> str:
        inner = f'<iframe width="{width}" height="10" srcdoc="{escape(html)}"></iframe>'
        return f'<div class="{scheme}" style="width:{width}px">{inner}</div>'

    ways = [(scheme, width) for width in (WIDE, NARROW) for scheme in ("light", "dark")]
    frames = [frame(*way) for way in ways] if html else ["", "", "", ""]
    return _SHEET.format(
        title=name,
        head=escape(f"From: {mail['From']} | Subject: {mail['Subject']}"),
        wide="".join(frames[:2]),
        small="".join(frames[2:]),
        plain=f"<pre>{escape(body.get_content() if body else '')}</pre>",
        narrow=NARROW,
    )


def draw(browser: str, page: Path) -> str:
    """Make the picture of a page; returns the page's title, which says what is too wide."""
    common = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    size = f"--window-size={2 * WIDE + 40},800"
    seen = subprocess.run(
        [*common, size, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=True, timeout=60
    )
    title = (re.search(r"<title>(.*?)</title>", seen.stdout) or [""])[0]
    height = re.search(r"HEIGHT-([0-9]+)", title)
    size = f"--window-size={2 * WIDE + 40},{int(height[1]) + 20 if height else 1200}"
    target = f"--screenshot={page.with_suffix('.png')}"
    subprocess.run([*common, size, target, page.as_uri()], capture_output=True, check=True, timeout=60)
    return str(title)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language", default="en")
    parser.add_argument("--only", default="", help="names that contain this")
    options = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, mail in mails(options.language):
        if options.only not in name:
            continue
        page = options.folder / f"{name}.html"
        page.write_text(sheet(name, mail))
        wide = re.findall(r"TOO-WIDE-\S+", draw(browser, page)) if browser else ["not drawn: chromium is missing"]
        print(f"{name:<34} {mail['Subject']!s:<60} {' '.join(wide)}".rstrip())


if __name__ == "__main__":
    main()
