"""An agent's formatting, kept for the customer only where it says nothing the text does not say [selectolax, nh3].

The text part is the record and has been cut by relay.py. HTML goes along if its words, in order, are words of that
text: then a quotation, a note or a footer that hides anywhere in the markup cannot leave with it.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from selectolax.lexbor import LexborHTMLParser, LexborNode

from gateway.outbound.sanitise import clean_html, too_deep

_LARGEST = 512 * 1024
_QUOTES = (
    "div.gmail_quote, blockquote[type=cite], div.moz-cite-prefix, div#divRplyFwdMsg, div#appendonsend, "
    # Outlook's header block has no name, only its line above.
    "div[style*='border-top:solid #' i], div[style*='border-top: solid #' i], "
    "div.yahoo_quoted, div.protonmail_quote, div#mail-editor-reference-message-container, div.gmail_attr"
)
_TG = re.compile(r"(?:^|[_\W])tg-[0-9]{1,8}$")
_FORMATTED = re.compile(r"<(?:a|b|strong|i|em|u|s|code|pre|ul|ol|table|h[1-4]|sub|sup)[\s>]", re.IGNORECASE)
_WORDS = re.compile(r"\w+")
_COVERAGE = 0.7  # the part of the text's words that must be in the HTML: links and list numbers stand in one only


def uses_formatting(html: str) -> bool:
    """Whether sanitised HTML says more than paragraphs."""
    return bool(_FORMATTED.search(html))


def cut_html(html: str, setting: str) -> str:
    """Sanitised HTML without our own mail and without the client's quotation; "" when there is nothing to keep."""
    if setting == "never" or len(html) > _LARGEST or too_deep(html):
        return ""
    tree = LexborHTMLParser(html)
    body = tree.body
    if body is None:
        return ""
    ours = [node for node in body.css("[id]") if _TG.search(node.attributes.get("id") or "")]
    for link in body.css("a[href]"):
        # Written with %xx an address of ours would pass the search for tokens and private addresses.
        href = (link.attributes.get("href") or "").strip()
        if href.lower().startswith("mailto:"):
            link.attrs["href"] = "mailto:" + unquote(href.partition(":")[2].partition("?")[0]).strip()
    for node in (ours[0] if ours else None, body.css_first(_QUOTES)):
        if node is not None:
            _remove_from(node, body)
    return clean_html(body.inner_html or "")


def _remove_from(node: LexborNode, body: LexborNode) -> None:
    """Remove a node and everything after it in the document."""
    doomed = [node]
    current: LexborNode | None = node
    while current is not None and current.mem_id != body.mem_id:
        sibling = current.next
        while sibling is not None:
            doomed.append(sibling)
            sibling = sibling.next
        current = current.parent
    for each in doomed:
        each.decompose()


def matching_html(html: str, text: str) -> str:
    """The HTML without command lines if what remains says what ``text`` says, else "".

    Every word of the result stands in the text, in the same order.
    """
    tree = LexborHTMLParser(html)
    body = tree.body
    if body is None:
        return ""
    wanted = [word.casefold() for word in _WORDS.findall(text)]
    lines = {" ".join(line.split()) for line in text.split("\n")}
    leaves = [node for node in body.traverse(include_text=True) if node.tag == "-text"]
    position = used = 0
    for leaf in leaves:
        said = " ".join((leaf.text_content or "").split())
        words = [word.casefold() for word in _WORDS.findall(said)]
        if not words:
            continue
        if said.lstrip()[:1] in "#!/\uff03" and said not in lines:
            leaf.decompose()
            continue
        for word in words:
            try:
                position = wanted.index(word, position) + 1
            except ValueError:
                return ""
        used += len(words)
    if used < _COVERAGE * len(wanted):
        return ""
    return (body.inner_html or "").strip()
