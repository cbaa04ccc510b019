"""The pool of child processes that read mail: limits, deadlines, restarts, and the DNS conversation (security.md 11.2).

A bomb costs one mail a few seconds and nobody else anything. The mail a child dies on is tried once more, alone and
behind other mail; the second death makes it *unreadable*: a ticket with the original attached. Mails that merely stood
behind it in the batch are read again and it does not count against them. The library pools cannot kill one stuck task
(dependencies.md 8), so this one is our own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from gateway import maillog
from gateway.analysis.reading_rules import Rules, original
from gateway.analysis.wire import LENGTH, MAX_ANSWER, Hello, Request, frame, read_findings
from gateway.errors import TemporaryError
from gateway.model import (
    Attachment,
    AuthenticationResults,
    Body,
    Comparison,
    Conversation,
    DnsAnswer,
    Envelope,
    Findings,
    Message,
)
from gateway.settings import Cage as CageSettings

_ROUNDS = 21  # every round asks at least one new name, and one mail may ask for 20 (security.md 4.1)
_DNS_SECONDS = 5.0  # for one mail, all rounds together (security.md 4.1)
_START_SECONDS = 60.0
_KILLS = 2


class Resolver(Protocol):
    """Whoever answers DNS questions for the parent."""

    async def resolve(self, keys: Iterable[str], within: float = ...) -> dict[str, DnsAnswer]:
        """What came within so many seconds; what did not is "failed" or missing."""


@dataclass(slots=True, eq=False)
class _Task:
    request: Request
    answer: asyncio.Future[Findings]
    deaths: int = 0
    alone: bool = False


class _Line:
    """The mails that wait for a child. A mail that was in a child when it died is given out by itself, in turn with
    batches of others: it can hold up neither them nor, when mail never ends, be held up by them for ever."""

    def __init__(self) -> None:
        self._fresh: deque[_Task] = deque()
        self._alone: deque[_Task] = deque()
        self._bell = asyncio.Event()
        self._turn_of_alone = False

    def add(self, task: _Task) -> None:
        (self._alone if task.alone else self._fresh).append(task)
        self._bell.set()

    async def take(self, batch: int, takers: int) -> list[_Task]:
        """At least one mail; of fresh ones a fair share, at most ``batch``."""
        while not self._fresh and not self._alone:
            self._bell.clear()
            await self._bell.wait()
        if self._alone and (self._turn_of_alone or not self._fresh):
            self._turn_of_alone = False
            return [self._alone.popleft()]
        self._turn_of_alone = True
        share = min(batch, 1 + (len(self._fresh) - 1) // takers)
        return [self._fresh.popleft() for _ in range(share)]

    def clear(self) -> list[_Task]:
        """Everything that still waits, taken out."""
        left = [*self._fresh, *self._alone]
        self._fresh.clear()
        self._alone.clear()
        return left


@dataclass(slots=True, eq=False)
class _Child:
    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    rules: Rules
    read: int = 0

    def fit(self, rules: Rules, most: int) -> bool:
        """Whether it may have the next batch: alive, with the present rules, not due for replacement."""
        return self.process.poll() is None and self.rules is rules and self.read < most

    def kill(self) -> None:
        self.writer.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


class Cage:
    """``await start()``, then ``await examine(raw, envelope, resolver)`` from any number of tasks."""

    def __init__(self, settings: CageSettings, rules: Rules) -> None:
        self._settings = settings
        self._rules = rules
        self._line = _Line()
        self._children: set[_Child] = set()
        self._closed = False
        self._runners: list[asyncio.Task[None]] = []
        self.deaths = 0  # children lost since the start, for metrics
        self.size = settings.children or min(8, os.cpu_count() or 1)

    async def start(self) -> None:
        """Start the children; returns when the first one has loaded its parsers."""
        try:
            first = await self._spawn()
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            hint = f"{sys.executable} -P -m gateway.analysis.child </dev/null shows why"
            raise TemporaryError(f"no reader process could be started ({type(error).__name__}); {hint}") from error
        self._runners = [asyncio.create_task(self._run(first if n == 0 else None)) for n in range(self.size)]

    async def close(self) -> None:
        """Kill the children. Mails in their hands stay RECEIVED in the journal and are read again after a restart."""
        self._closed = True
        for runner in self._runners:
            runner.cancel()
        await asyncio.gather(*self._runners, return_exceptions=True)
        for child in list(self._children):  # a runner that was cancelled before its first step kills nothing
            self._kill(child)
        for task in self._line.clear():
            self._give_up(task)

    def renew_rules(self, rules: Rules) -> None:
        """Use other rules from now on (reload); a batch already in a child's hands is finished under the old ones."""
        self._rules = rules

    async def examine(self, raw: bytes, envelope: Envelope, resolver: Resolver) -> Findings:
        """Everything a mail says, DNS included. Never raises for what a mail contains.

        Raises TemporaryError only when the cage is being closed.
        """
        findings = await self._ask(Request(raw=raw, envelope=envelope))
        records: dict[str, DnsAnswer] = {}
        loop = asyncio.get_running_loop()
        left = _DNS_SECONDS  # of waiting for DNS: what a mail waits for a busy child is no fault of its domain
        for _ in range(_ROUNDS):
            if not findings.needs:
                break
            began = loop.time()
            records |= await _resolve(resolver, findings.needs, left)
            left -= loop.time() - began
            again = await self._ask(Request(raw=raw, envelope=envelope, records=records, only_authentication=True))
            findings = replace(
                findings,
                authentication=again.authentication,
                needs=again.needs,
                elapsed_ms=findings.elapsed_ms + again.elapsed_ms,
            )
        return findings

    async def compare(self, findings: Findings, envelope: Envelope, conversation: Conversation) -> Findings:
        """The findings with the text taken apart once more beside what had been said; never raises for any text.

        A text on which two readers die keeps what was found before. Raises TemporaryError like ``examine``.
        """
        message = findings.message
        text = Message(
            subject=message.subject,
            author=message.author,
            text=message.text,
            html=message.html,
            text_source=message.text_source,
        )
        again = await self._ask(Request(raw=b"", envelope=envelope, message=text, known=conversation.said))
        elapsed = findings.elapsed_ms + again.elapsed_ms
        if again.body.source == "unreadable":
            return replace(findings, elapsed_ms=elapsed)
        comparison = Comparison(ticket=conversation.ticket, events=conversation.events, body=again.body)
        return replace(findings, comparison=comparison, elapsed_ms=elapsed)

    async def unpack(self, raw: bytes, envelope: Envelope) -> tuple[Attachment, ...]:
        """The files of a mail that was read before, under the limits of every reading; never raises for what it holds.

        A mail on which two readers die is its only file. Raises TemporaryError like ``examine``.
        """
        found = await self._ask(Request(raw=raw, envelope=envelope, only_files=True))
        return found.message.attachments

    async def _ask(self, request: Request) -> Findings:
        if self._closed:
            raise TemporaryError("the cage was closed")
        task = _Task(request, asyncio.get_running_loop().create_future())
        self._line.add(task)
        return await task.answer

    async def _run(self, child: _Child | None) -> None:
        tasks: list[_Task] = []
        try:
            while True:
                # Before a mail is taken: it shall not wait for this child's start while another one is free.
                child = child or await self._spawn_patiently()
                tasks = await self._line.take(self._settings.batch, self.size)
                if not child.fit(self._rules, self._settings.recycle_after):
                    self._kill(child)
                    child = await self._spawn_patiently()
                if not await self._serve(child, tasks):
                    self._kill(child)
                    child = None
                tasks = []
        finally:
            if child is not None:
                self._kill(child)
            for task in tasks:
                self._give_up(task)

    async def _serve(self, child: _Child, tasks: list[_Task]) -> bool:
        """Have one child read some mails; False when it must be replaced. Every task is answered or queued again."""
        sending = asyncio.create_task(_send(child.writer, tasks))
        done, cause, final = 0, "", False
        try:
            for task in tasks:
                findings = await asyncio.wait_for(_read_answer(child.reader), self._settings.wall_seconds)
                _settle(task, findings)
                child.read += 1
                done += 1
            return True
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as death:
            cause = _words_for(death)
        except (ValueError, msgspec.MsgspecError) as nonsense:
            cause, final = f"malformed answer: {type(nonsense).__name__}", True
            maillog.alerted("a reader process answered nonsense", cause)
        finally:
            sending.cancel()
        for task in tasks[done + 1 :]:
            task.alone = True
            self._line.add(task)
        self._bury(tasks[done], cause, final=final)  # behind the others of its batch
        return False

    def _bury(self, task: _Task, cause: str, *, final: bool) -> None:
        self.deaths += 1
        task.deaths += 1
        task.alone = True
        if final or task.deaths >= _KILLS:
            _settle(task, unreadable(task.request.raw, cause))
        else:
            self._line.add(task)

    async def _spawn_patiently(self) -> _Child:
        delay = 0.1
        while True:
            try:
                return await self._spawn()
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)

    async def _spawn(self) -> _Child:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        process = subprocess.Popen(  # noqa: ASYNC220  Popen returns at once; asyncio's own would open more descriptors
            [sys.executable, "-P", "-m", "gateway.analysis.child"],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=True,
            cwd="/",
            env={},
        )
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        child = _Child(process, reader, writer, self._rules)
        self._children.add(child)
        hello = Hello(rules=child.rules, memory=int(self._settings.memory), cpu_seconds=self._settings.cpu_seconds)
        try:
            writer.write(frame(hello))
            await asyncio.wait_for(_read_answer(reader), _START_SECONDS)
        except BaseException:
            self._kill(child)
            raise
        return child

    def _kill(self, child: _Child) -> None:
        child.kill()
        self._children.discard(child)

    def _give_up(self, task: _Task) -> None:
        if not task.answer.done():
            task.answer.set_exception(TemporaryError("the cage was closed"))


def _words_for(death: BaseException) -> str:
    """Why a reader ended, for a person."""
    return "it took too long" if isinstance(death, TimeoutError) else "its reader ended before it had answered"


async def _resolve(resolver: Resolver, needs: Iterable[str], seconds: float) -> dict[str, DnsAnswer]:
    """The answers in time; what did not come in time has failed, which is not the same as absent."""
    missing = {key: DnsAnswer("failed") for key in needs}
    if seconds <= 0:
        return missing
    return missing | await resolver.resolve(list(missing), within=seconds)


async def _send(writer: asyncio.StreamWriter, tasks: Iterable[_Task]) -> None:
    with contextlib.suppress(OSError):
        for task in list(tasks):
            writer.write(frame(task.request))
            await writer.drain()


async def _read_answer(reader: asyncio.StreamReader) -> Findings:
    (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    if size > MAX_ANSWER:
        raise ValueError("answer too long")
    return read_findings(await reader.readexactly(size))


def _settle(task: _Task, findings: Findings) -> None:
    if not task.answer.done():
        task.answer.set_result(findings)


def unreadable(raw: bytes, cause: str) -> Findings:
    """What stands in for a mail that killed its reader: nobody's, unproven, with the original attached."""
    return Findings(
        message=Message(unreadable=f"the mail could not be read ({cause})", attachments=(original(raw),)),
        body=Body(source="unreadable"),
        authentication=AuthenticationResults(why="the mail could not be read, so nobody is proven"),
    )
