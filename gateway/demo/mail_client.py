"""What a person's mail program does: show a mail, reply to it with the usual quotation, send it by SMTP."""

from __future__ import annotations

import email
import email.policy
import smtplib
import textwrap
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr

from gateway.demo.post_office import PASSWORD


def read_mail(raw: bytes) -> EmailMessage:
    """A mail from the mailbox."""
    return email.message_from_bytes(raw, policy=email.policy.default)


def text_of(mail: EmailMessage) -> str:
    """The text a person reads."""
    body = mail.get_body(preferencelist=("plain",))
    return str(body.get_content()).replace("\r\n", "\n") if body else ""


def write_mail(sender: str, name: str, to: str, subject: str, text: str) -> EmailMessage:
    """A new mail."""
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"] = f"{name} <{sender}>"
    mail["To"] = to
    mail["Subject"] = subject
    mail["Date"] = formatdate(localtime=True)
    mail["Message-ID"] = make_msgid(domain=sender.partition("@")[2])
    mail.set_content(text)
    return mail


def reply_to(original: EmailMessage, sender: str, name: str, text: str) -> EmailMessage:
    """A reply as mail programs make it: to Reply-To, subject with Re:, threading fields, the original quoted below."""
    subject = str(original["Subject"])
    quoted = "\n".join("> " + line for line in text_of(original).rstrip("\n").split("\n"))
    who = parseaddr(str(original["From"]))[0]
    mail = write_mail(
        sender,
        name,
        str(original["Reply-To"] or original["From"]),
        subject if subject.lower().startswith("re:") else f"Re: {subject}",
        f"{text}\n\nOn {original['Date']}, {who} wrote:\n{quoted}\n",
    )
    mail["In-Reply-To"] = str(original["Message-ID"])
    mail["References"] = " ".join(f"{original['References'] or ''} {original['Message-ID']}".split())
    return mail


def submit(port: int, mail: EmailMessage) -> None:
    """Log in and send, as a mail program would."""
    sender = parseaddr(str(mail["From"]))[1]
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.login(sender, PASSWORD)
        client.send_message(mail, sender, [parseaddr(str(mail["To"]))[1]])


def show(mail: EmailMessage, whose: str, width: int = 88) -> str:
    """The mail as the person sees it: who, to whom, subject, text, files."""
    lines = [f"From:    {mail['From']}", f"To:      {mail['To']}", f"Subject: {mail['Subject']}"]
    if mail["Reply-To"]:
        lines.append(f"Reply:   {parseaddr(str(mail['Reply-To']))[1]}")
    lines.append("")
    lines += text_of(mail).rstrip("\n").split("\n")
    lines += [f"[{part.get_filename()}]" for part in mail.iter_attachments()]
    shown = [piece for line in lines for piece in (textwrap.wrap(line, width - 4, drop_whitespace=False) or [""])]
    title = f" {whose} reads "
    top = "┌─" + title + "─" * (width - len(title) - 3) + "┐"
    middle = ["│ " + line.ljust(width - 4) + " │" for line in shown]
    return "\n".join([top, *middle, "└" + "─" * (width - 2) + "┘"])
