"""Mail about the installation: alerts for admins, the welcome of a new agent."""

from __future__ import annotations

from gateway.outbound.addressing import reply_address
from gateway.outbound.letter import Part
from gateway.outbound.notices.scene import Scene, Writing, readable


def write_alert(scene: Scene) -> Writing:
    """Trouble, or the end of it, for the admins. Nobody can answer it: there is no Reply-To."""
    notice, words = scene.notice, scene.words
    host = scene.fact("host") or "localhost"
    text = scene.render("alert.txt", text=readable(notice.text), host=host)
    return Writing(
        from_name=words.say("host_from", host=host),
        subject=words.say("alert_subject", host=host, problem=scene.fact("problem")),
        text=text,
        to=(("", scene.recipient.address),),
        html_wanted=False,
    )


def _card(value: str) -> str:
    """A value for a vCard (RFC 6350 3.4)."""
    for plain, escaped in (("\\", "\\\\"), (",", "\\,"), (";", "\\;"), ("\n", "\\n")):
        value = value.replace(plain, escaped)
    return value


def write_welcome(scene: Scene) -> Writing:
    """Three sentences for a new agent, recipes for filters, and the addresses as a card."""
    personal = reply_address(scene.inbox, scene.settings, "d", 0, 0, scene.recipient.party)
    list_id = f"{scene.inbox.handle or 'inbox'}.{scene.settings.id_domain}"
    text = scene.render("welcome.txt", list_id=list_id, personal=personal)
    cards = []
    for name, address in ((scene.inbox.name, scene.inbox.address), (f"{scene.inbox.name} #commands", personal)):
        cards.append(
            f"BEGIN:VCARD\nVERSION:3.0\nFN:{_card(name)}\nN:{_card(name)};;;;\nEMAIL:{_card(address)}\nEND:VCARD\n"
        )
    return Writing(
        from_name=scene.inbox.name,
        subject=scene.words.say("welcome", inbox=scene.inbox.name),
        text=text,
        parts=(Part("ticketgate.vcf", "text/vcard", "".join(cards).encode("utf-8"), plain=True),),
        reply=(scene.inbox.name, "d", 0),
        html_wanted=False,
    )
