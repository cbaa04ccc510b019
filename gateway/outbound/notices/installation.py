"""Mail about the installation: alerts for admins, the welcome of a new agent."""

from __future__ import annotations

from gateway.outbound.addressing import reply_address
from gateway.outbound.letter import Part
from gateway.outbound.notices.scene import Scene, Writing, readable


def write_alert(scene: Scene) -> Writing:
    """Trouble, or the end of it, for the admins. Nobody can answer it: there is no Reply-To."""
    words, host = scene.words, scene.fact("host") or "localhost"
    problem, said = _say_alarm(scene) if scene.fact("alarm") else (scene.fact("problem"), readable(scene.notice.text))
    text = scene.render("alert.txt", text=said, host=host)
    return Writing(
        from_name=words.say("host_from", host=host),
        subject=words.say("alert_subject", host=host, problem=problem),
        text=text,
        to=(("", scene.recipient.address),),
        html_wanted=False,
    )


def _say_alarm(scene: Scene) -> tuple[str, str]:
    """The problem in a few words, and what there is to say about it; or that it is over."""
    words, alarm = scene.words, scene.fact("alarm")
    facts = {key: scene.fact(key) for key in scene.notice.data}
    problem = words.say(f"alarm_{alarm}", **facts)
    if scene.flag("over"):
        return words.say("alarm_over", problem=problem), words.say("alarm_ended")
    parts = [words.say(f"alarm_{alarm}_text", **facts)]
    if scene.fact("reason"):
        parts.append(words.say("alarm_reason", reason=scene.fact("reason")))
    if scene.fact("minutes"):
        parts.append(words.say("alarm_again", minutes=scene.fact("minutes")))
    return problem, "\n\n".join(part.strip("\n") for part in parts)


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
    )
