"""Which mails have a copy in the Sent folder, and in whose: what a person wrote to somebody outside the house."""

from __future__ import annotations

from email.parser import BytesHeaderParser
from email.utils import parseaddr

from gateway.model import OutboundMail
from gateway.settings import Imap, Settings


def choose_mailbox(mail: OutboundMail, settings: Settings) -> Imap | None:
    """The mailbox whose Sent folder gets a copy of this mail, by the address it was sent from; None: no copy.

    The address as it stands in the mail, not the ticket's inbox: a ticket may have been moved since.
    """
    if mail.automatic or not mail.event or not any(m.sent_copy for m in settings.receive.imap.values()):
        return None
    header = BytesHeaderParser().parsebytes(mail.content, headersonly=True)
    inbox = settings.find_inbox(parseaddr(header.get("From", ""))[1])
    mailboxes = (m for m in settings.receive.imap.values() if inbox is not None and m.inbox == inbox.handle)
    return next((m for m in mailboxes if m.sent_copy), None)
