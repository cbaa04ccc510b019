"""A mailbox on an IMAP server: what ticketgate does with one, in plain verbs (security.md 13, libraries.md 2).

One command at a time, ranges of at most 200 UIDs, one body at a time, only the UID asked for. Nothing is ever decided
by flags. Every exception but Unsupported closes the session for good.
"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway import settings
from gateway.ingest.beat import Beat
from gateway.ingest.imap_syntax import (
    Response,
    SyntaxViolation,
    check_name,
    encode_name,
    quote,
    read_code,
    read_date,
    read_fetch,
    read_list,
    uid_set,
    write_date,
    write_date_time,
)
from gateway.ingest.imap_transport import SPARE, Connection, ImapError, LoginRefused, Refused, TooLarge, Unsupported

__all__ = [
    "BodyMissing",
    "ImapError",
    "ImapSession",
    "Listed",
    "LoginRefused",
    "MAX_RANGE",
    "Refused",
    "Selected",
    "TooLarge",
    "Unsupported",
    "open_mailbox",
]

MAX_RANGE = 200
"""UIDs asked for in one command (security.md 13)."""


class BodyMissing(ImapError):
    """FETCH was answered for the UID, but without a body: not an empty mail."""


@dataclass(frozen=True, slots=True)
class Selected:
    """What SELECT said. ``permanent_flags`` in lower case; a backslash and a star mean that any keyword may be set."""

    uidvalidity: int
    exists: int
    permanent_flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Listed:
    """One mail in a folder. ``size`` is the server's estimate in bytes; ``internaldate`` may be wrong or None."""

    uid: int
    size: int
    internaldate: datetime | None


class ImapSession:
    """A logged-in connection; made by :func:`open_mailbox`."""

    def __init__(self, connection: Connection, max_size: int) -> None:
        """``max_size`` in bytes: larger bodies are not read."""
        self._connection = connection
        self._max_size = max_size

    @property
    def capabilities(self) -> frozenset[str]:
        """In upper case, as announced after login."""
        return self._connection.capabilities

    @property
    def exists(self) -> int:
        """Mails in the selected folder, as far as the server has told."""
        return self._connection.exists

    @property
    def broken(self) -> bool:
        """Whether the connection has failed: only ``close`` is left to do."""
        return self._connection.broken

    # -- reading

    async def folders(self) -> dict[str, frozenset[str]]:
        """Every folder of the account and its attributes in lower case, such as ``\\junk``."""
        special = ("RETURN", "(SPECIAL-USE)") if {"SPECIAL-USE", "LIST-EXTENDED"} <= self.capabilities else ()
        untagged, _ = await self._connection.command("LIST", '""', '"*"', *special)
        return dict(filter(None, map(read_list, untagged)))

    async def select(self, folder: str) -> Selected:
        """Open a folder for reading and writing; Refused when there is none of this name."""
        texts = [response.text for response in await self._connection.select(quote(encode_name(folder)))]
        validity = next(filter(None, (read_code(text, "UIDVALIDITY") for text in texts)), "")
        if not validity.isdigit():
            raise self._connection.drop(ImapError("SELECT without UIDVALIDITY"))
        flags = next(filter(None, (read_code(text, "PERMANENTFLAGS") for text in texts)), "")
        return Selected(int(validity), self.exists, frozenset(flags.strip("()").lower().split()))

    async def highest_uid(self) -> int:
        """The highest UID as seen in a FETCH, 0 in an empty folder. UIDNEXT may run ahead of what is visible yet."""
        self._connection.heed()
        await self._connection.command("NOOP")
        if self.exists == 0:
            return 0
        return max((mail.uid for mail in await self._list("*")), default=0)

    async def present(self, first: int, last: int) -> tuple[int, ...]:
        """The UIDs that exist from ``first`` to ``last``, ascending; for skipping gaps in wide ranges."""
        command = ("SEARCH", "UID", f"{first}:{last}")  # no CHARSET: some servers refuse any
        untagged, _ = await self._connection.command(*command, prefix="UID", room=16 * SPARE)
        found: set[int] = set()
        for response in untagged:
            if response.text[:9].upper() == b"* SEARCH ":
                found.update(int(word) for word in response.text[9:].split() if word.isdigit() and len(word) <= 10)
        return tuple(sorted(uid for uid in found if first <= uid <= last))

    async def list_uids(self, first: int, last: int) -> list[Listed]:
        """What is there from ``first`` to ``last`` (at most 200 UIDs), ascending."""
        if not 0 < first <= last < first + MAX_RANGE:
            raise ValueError(f"not a range of 1 to {MAX_RANGE} UIDs: {first}:{last}")
        listed = await self._list(f"{first}:{last}")
        return sorted((mail for mail in listed if first <= mail.uid <= last), key=lambda mail: mail.uid)

    async def _list(self, uids: str) -> list[Listed]:
        command = ("FETCH", uids, "(UID INTERNALDATE RFC822.SIZE)")
        untagged, _ = await self._connection.command(*command, prefix="UID")
        found: dict[int, Listed] = {}
        for items in self._fetched(untagged):
            uid, size = _number(items.get("UID")), _number(items.get("RFC822.SIZE"))
            if uid and size is not None:  # an unsolicited FETCH of flags has no size
                found[uid] = Listed(uid, size, read_date(items.get("INTERNALDATE")))
        return list(found.values())

    async def fetch(self, uid: int) -> bytes | None:
        """The mail exactly as stored, its Seen flag untouched; None when the server no longer lists the UID.

        TooLarge above the mailbox's max_size, BodyMissing when an answer came without a body.
        """
        command = ("FETCH", str(uid), "(UID BODY.PEEK[])")
        untagged, _ = await self._connection.command(*command, prefix="UID", room=self._max_size + SPARE)
        answered = False
        for items in self._fetched(untagged):
            if _number(items.get("UID")) != uid:
                continue  # servers tell about other mails whenever they like
            body = items.get("BODY[]")
            if body:
                return body
            answered = answered or "BODY[]" in items or "FLAGS" not in items
        if answered:
            raise self._connection.drop(BodyMissing(f"UID {uid} was answered without a body"))
        return None

    def _fetched(self, untagged: Sequence[Response]) -> list[Mapping[str, bytes | None]]:
        try:
            return [read_fetch(response) for response in untagged if b" FETCH " in response.text[:20].upper()]
        except SyntaxViolation as error:
            raise self._connection.drop(ImapError(f"protocol broken: {error}")) from error

    async def holds(self, message_id: str, since: datetime) -> bool:
        """Whether the selected folder has a mail with this Message-ID that came on the day of ``since`` or later."""
        wanted = ("SEARCH", "SINCE", write_date(since), "HEADER", "Message-ID", quote(message_id))
        untagged, _ = await self._connection.command(*wanted, prefix="UID")
        found = (r.text[9:].split() for r in untagged if r.text[:9].upper() == b"* SEARCH ")
        return any(words for words in found)

    async def idle(self, seconds: float) -> bool:
        """Wait at most ``seconds`` (nine minutes) for news; whether mail was announced since highest_uid looked.

        A hint, no more: the caller polls whatever it says.
        """
        if "IDLE" not in self.capabilities:
            raise Unsupported("IDLE")
        return await self._connection.idle(seconds)

    # -- putting a mail of ours there

    async def append(self, folder: str, content: bytes, moment: datetime) -> None:
        """Put a mail into a folder, as read, dated with this moment; Refused when the server will not."""
        await self._connection.append(quote(encode_name(folder)), "\\Seen", write_date_time(moment), content)

    # -- decorating, moving, deleting: always after our commit

    async def flag(self, uids: Sequence[int], flag: str) -> None:
        """Add a keyword or a system flag such as ``\\Seen`` to mails."""
        await self._connection.command("STORE", uid_set(tuple(uids)), "+FLAGS.SILENT", f"({flag})", prefix="UID")

    async def move(self, uid: int, folder: str) -> None:
        """Move one mail. Without MOVE: COPY, and only if the server confirms the copy of this UID, delete."""
        target = quote(encode_name(folder))
        if "MOVE" in self.capabilities:
            await self._connection.command("MOVE", str(uid), target, prefix="UID")
            return
        self._need_uidplus()
        untagged, done = await self._connection.command("COPY", str(uid), target, prefix="UID")
        texts = (done, *(response.text for response in untagged))
        copied = next(filter(None, (read_code(text, "COPYUID") for text in texts)), "").split()
        if len(copied) != 3 or copied[1] != str(uid) or not copied[2].isdigit():
            raise self._connection.drop(ImapError(f"COPY of UID {uid} was not confirmed"))
        await self.delete(uid)

    async def delete(self, uid: int) -> None:
        """Remove one mail. Never a bare EXPUNGE: it would take what other clients marked."""
        self._need_uidplus()
        await self.flag((uid,), "\\Deleted")
        await self._connection.command("EXPUNGE", str(uid), prefix="UID")

    def _need_uidplus(self) -> None:
        if "UIDPLUS" not in self.capabilities:
            raise Unsupported("UIDPLUS")

    async def close(self) -> None:
        """Say goodbye if the connection still works, then close it."""
        if not self.broken:
            with contextlib.suppress(ImapError):
                await self._connection.command("LOGOUT", extra=min(0.0, 2.0 - self._connection.patience))
        self._connection.discard()


async def open_mailbox(
    account: settings.Imap, password: str, *, patience: float = 60.0, beat: Beat | None = None
) -> ImapSession:
    """Connect, verify, log in. ``password``: the access token for the oauth2 kinds; ``patience``: seconds.

    LoginRefused when the server refuses us or we refuse the server; ImapError for everything else that fails.
    """
    if account.tls == "none" and not _is_loopback(account.host):
        raise LoginRefused(f"plain text to {account.host} refused")
    try:
        context = None if account.tls == "none" else ssl.create_default_context(cafile=account.ca_file or None)
    except OSError as error:
        raise ImapError(f"cannot read {account.ca_file}: {error}") from error
    connection = Connection(account.host, account.port, context if account.tls == "implicit" else None, patience, beat)
    try:
        await connection.greet()
        if context and account.tls != "implicit":
            await connection.start_tls(context)
        await connection.ask_capabilities()
        await _login(connection, account, password)
        await connection.ask_capabilities()
    except (OSError, TimeoutError) as error:
        raise connection.drop(ImapError(f"cannot connect to {account.host}: {error or 'no answer'}")) from error
    except BaseException:
        connection.discard()
        raise
    return ImapSession(connection, account.max_size)


async def _login(connection: Connection, account: settings.Imap, password: str) -> None:
    if account.auth.startswith("oauth2"):
        bearer = f"user={check_name(account.user)}\x01auth=Bearer {password}\x01\x01".encode()
        await connection.authenticate("AUTHENTICATE", "XOAUTH2", b64encode(bearer).decode("ascii"))
    elif "LOGINDISABLED" in connection.capabilities:
        raise LoginRefused("the server allows no login here (LOGINDISABLED)")
    elif account.user.isascii() and password.isascii():
        await connection.authenticate("LOGIN", quote(check_name(account.user)), quote(check_name(password)))
    else:  # LOGIN's strings are ASCII (RFC 3501 section 9)
        plain = b64encode(f"\0{account.user}\0{password}".encode())
        await connection.authenticate("AUTHENTICATE", "PLAIN", answers=(plain,))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _number(value: bytes | None) -> int | None:
    return int(value) if value and value.isdigit() and len(value) <= 20 else None
