"""Listening: sockets inherited from systemd, a unix path or an address (ops.md 11), and the listener on top of them."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import socket
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gateway import maillog
from gateway.ingest.intake import Intake, Receive, Rules
from gateway.ingest.smtp import LmtpSession, SmtpSession
from gateway.settings import Inbox

BACKLOG = 128
"""Connections that may wait to be accepted: an MTA's waits here instead of being refused."""

_FIRST_INHERITED = 3
_GROUP = "ticketgate-lmtp"


def open_sockets(listen: Iterable[str], name: str = "lmtp") -> list[socket.socket]:
    """Bind everything an operator listed: ``systemd``, ``unix:/path``, ``inet:127.0.0.1:8024``, ``inet:[::1]:8024``.

    ``name`` is systemd's FileDescriptorName. Raises OSError with a sentence for the operator; then nothing stays open.
    """
    opened: list[socket.socket] = []
    try:
        for place in listen:
            kind, _, rest = place.partition(":")
            if place == "systemd":
                inherited = inherited_sockets(name)
                if not inherited:
                    raise OSError(
                        f"no socket named {name} was handed over by systemd (LISTEN_FDS): start ticketgate with "
                        f'systemctl, or let receive.{name}.listen name a place of its own, "unix:/path"'
                    )
                opened += inherited
            elif kind == "unix" and rest.startswith("/"):
                opened.append(_bind_path(Path(rest)))
            elif kind == "inet" and ":" in rest:
                opened.append(_bind_address(rest))
            else:
                raise OSError(f'cannot listen on "{place}": not systemd, unix:/path or inet:address:port')
    except BaseException:
        for one in opened:
            one.close()
        raise
    return opened


def inherited_sockets(name: str) -> list[socket.socket]:
    """The sockets systemd opened for this very process under a name (sd_listen_fds(3)); without names, all of them."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    names = os.environ.get("LISTEN_FDNAMES", "").split(":") if os.environ.get("LISTEN_FDNAMES") else [name] * count
    found = []
    for position, given in enumerate(names[:count]):
        if given != name:
            continue
        # A copy, so that reading the environment twice (a reload) does not close the socket under a listener.
        copy = os.dup(_FIRST_INHERITED + position)
        os.set_inheritable(copy, False)
        found.append(socket.socket(fileno=copy))
    return found


def _bind_path(path: Path) -> socket.socket:
    """A unix socket, mode 0660, of the MTA's group where that exists; a dead one in its place is removed."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            _remove_dead(path)
        # Bound under a tight mask, then opened to the group: nobody else can connect in between.
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(path, -1, grp.getgrnam(_GROUP).gr_gid)
        path.chmod(0o660)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on unix:{path}: {error.strerror or error}") from error
    return listener


def _remove_dead(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()
            return
    raise OSError(f"somebody else listens on unix:{path}")


def _bind_address(place: str) -> socket.socket:
    host, _, port = place.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
    except (OSError, ValueError, OverflowError) as error:
        listener.close()
        raise OSError(f"cannot listen on inet:{place}: {error}") from error
    return listener


class Listener:
    """The sessions of one edge (LMTP or SMTP) on any number of sockets, in the running event loop.

    ``receive`` takes responsibility for a mail (returns after commit, raises TemporaryError or PermanentError);
    ``find_inbox`` and ``is_our_domain`` decide at RCPT; ``has_space`` says whether DATA may begin; ``is_bad_token`` is
    asked after a mail was taken, to put off who guesses. They are called anew for every mail, so after a reload they
    may answer otherwise. aiosmtpd's Controller is not used: it starts a
    second thread and event loop, and waits for ever for an idle client.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        receive: Receive,
        find_inbox: Callable[[str], Inbox | None],
        is_our_domain: Callable[[str], bool],
        has_space: Callable[[], bool] = lambda: True,
        is_bad_token: Callable[[str], bool] = lambda recipient: False,
    ) -> None:
        self.intake = Intake(rules, receive, find_inbox, is_our_domain, has_space, is_bad_token)
        self._servers: list[asyncio.Server] = []

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Accept on bound sockets, which belong to the listener from now on. Raises OSError."""
        for one in sockets:
            one.setblocking(False)
            server = await asyncio.get_running_loop().create_server(self._session, sock=one, backlog=BACKLOG)
            self._servers.append(server)
            maillog.started(self.intake.rules.protocol, _name(one))

    def _session(self) -> SmtpSession:
        return LmtpSession(self.intake) if self.intake.rules.protocol == "lmtp" else SmtpSession(self.intake)

    async def stop(self, grace: float = 30) -> None:
        """Stop in four steps: no new connections; 421 to whoever is idle; wait for mails on the way; cut the rest.

        ``grace`` in seconds. A commit that runs is waited for once more, at least 5 s: whoever is cut off by that was
        not told 250. Server.wait_closed is not awaited: from Python 3.12 on it waits for idle clients.
        """
        intake = self.intake
        intake.stopping = True
        for server in self._servers:
            server.close()
        for session in list(intake.sessions):
            if not session.in_data:
                session.end("stopping")
        if intake.sessions:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(intake.empty.wait(), grace)
        for session in list(intake.sessions):
            session.abort()
        if intake.commits:
            await asyncio.wait(list(intake.commits), timeout=max(grace, 5))
        self._servers.clear()
        maillog.stopped(intake.rules.protocol)


def _name(listening: socket.socket) -> str:
    address = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return f"unix:{address}"
    return f"inet:[{address[0]}]:{address[1]}" if ":" in address[0] else f"inet:{address[0]}:{address[1]}"
