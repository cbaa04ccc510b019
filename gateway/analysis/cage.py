"""The pool of child processes that read mail: limits, deadlines, restarts, and the DNS conversation (security.md 11.2).

A bomb costs one mail a few seconds and nobody else anything. The mail a child dies on is tried once more, alone and
behind other mail; the second death makes it *unreadable*: a ticket with the original attached. Mails that merely stood
behind it in the batch are read again and it does not count against them. The library pools cannot kill one stuck task
(dependencies.md 8), so this one is our own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec

from gateway.analysis.examine import Rules
from gateway.analysis.wire import LENGTH, MAX_ANSWER, Hello, Request, frame, read_findings
from gateway.errors import TemporaryError
from gateway.model import Attachment, AuthenticationResults, Body, DnsAnswer, Envelope, Findings, Message
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


@dataclass(slots=True, eq=False)
class _Child:
    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    read: int = 0
    tasks: list[_Task] = field(default_factory=list)

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
        self._queue: asyncio.Queue[_Task] = asyncio.Queue()
        self._later: asyncio.Queue[_Task] = asyncio.Queue()
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
        for runner in self._runners:
            runner.cancel()
        await asyncio.gather(*self._runners, return_exceptions=True)
        while not self._queue.empty():
            self._give_up(self._queue.get_nowait())
        while not self._later.empty():
            self._give_up(self._later.get_nowait())

    def renew_rules(self, rules: Rules) -> None:
        """Use other rules from now on (reload): each child is replaced after the batch in its hands."""
        self._rules = rules

    async def examine(self, raw: bytes, envelope: Envelope, resolver: Resolver) -> Findings:
        """Everything a mail says, DNS included. Never raises for what a mail contains.

        Raises TemporaryError only when the cage is being closed.
        """
        findings = await self._ask(Request(raw=raw, envelope=envelope))
        records: dict[str, DnsAnswer] = {}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _DNS_SECONDS
        for _ in range(_ROUNDS):
            if not findings.needs:
                break
            records |= await _resolve(resolver, findings.needs, deadline - loop.time())
            again = await self._ask(Request(raw=raw, envelope=envelope, records=records, only_authentication=True))
            findings = replace(
                findings,
                authentication=again.authentication,
                needs=again.needs,
                elapsed_ms=findings.elapsed_ms + again.elapsed_ms,
            )
        return findings

    async def _ask(self, request: Request) -> Findings:
        task = _Task(request, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(task)
        return await task.answer

    async def _run(self, child: _Child | None) -> None:
        tasks: list[_Task] = []
        try:
            while True:
                tasks = await self._take()
                rules = self._rules
                if child is None:
                    child = await self._spawn_patiently()
                if (
                    await self._serve(child, tasks)
                    and child.read < self._settings.recycle_after
                    and rules is self._rules
                ):
                    continue
                child.kill()
                child = None
        finally:
            if child is not None:
                child.kill()
            for task in tasks:
                self._give_up(task)

    async def _take(self) -> list[_Task]:
        """Mails for one child: its fair share of the queue, or a single one that has already killed a child."""
        if self._queue.empty() and not self._later.empty():
            return [self._later.get_nowait()]
        first = await self._queue.get()
        tasks = [first]
        share = min(self._settings.batch, 1 + self._queue.qsize() // self.size)
        while not first.alone and len(tasks) < share and not self._queue.empty():
            tasks.append(self._queue.get_nowait())
        if not self._later.empty():  # behind other mail, but not behind all mail for ever
            self._queue.put_nowait(self._later.get_nowait())
        return tasks

    async def _serve(self, child: _Child, tasks: list[_Task]) -> bool:
        """Have one child read some mails; False when it must be replaced. Every task is answered or queued again."""
        sending = asyncio.create_task(_send(child.writer, tasks))
        done = 0
        try:
            for task in tasks:
                findings = await asyncio.wait_for(_read_answer(child.reader), self._settings.wall_seconds)
                _settle(task, findings)
                child.read += 1
                done += 1
            return True
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as death:
            self._bury(tasks[done], f"{type(death).__name__}", final=False)
        except (ValueError, msgspec.MsgspecError) as nonsense:
            self._bury(tasks[done], f"malformed answer: {type(nonsense).__name__}", final=True)
        finally:
            sending.cancel()
        for task in tasks[done + 1 :]:
            task.alone = True
            self._queue.put_nowait(task)
        tasks.clear()
        return False

    def _bury(self, task: _Task, cause: str, *, final: bool) -> None:
        self.deaths += 1
        task.deaths += 1
        task.alone = True
        if final or task.deaths >= _KILLS:
            _settle(task, unreadable(task.request.raw, cause))
        else:
            self._later.put_nowait(task)
            # A runner that waits on the main queue must wake up for it.
            if self._queue.empty():
                self._queue.put_nowait(self._later.get_nowait())

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
        child = _Child(process, reader, writer)
        hello = Hello(rules=self._rules, memory=int(self._settings.memory), cpu_seconds=self._settings.cpu_seconds)
        try:
            writer.write(frame(hello))
            await asyncio.wait_for(_read_answer(reader), _START_SECONDS)
        except BaseException:
            child.kill()
            raise
        return child

    def _give_up(self, task: _Task) -> None:
        if not task.answer.done():
            task.answer.set_exception(TemporaryError("the cage was closed"))


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
    original = Attachment(
        name="original.eml",
        type="message/rfc822",
        size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        content=raw,
    )
    return Findings(
        message=Message(unreadable=f"the mail could not be read ({cause})", attachments=(original,)),
        body=Body(source="unreadable"),
        authentication=AuthenticationResults(why="the mail could not be read, so nobody is proven"),
    )
