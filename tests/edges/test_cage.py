"""The cage with real children that hang, die, lie and run out of room: who is hurt, and what a child can still do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.analysis.cage import Cage
from gateway.analysis.examine import examine
from gateway.analysis.reading_rules import AuthenticationRules, Rules
from gateway.errors import TemporaryError
from gateway.model import DnsAnswer, Envelope, Findings
from gateway.settings import Cage as CageSettings
from gateway.settings import Size
from tests.support.descriptors import take_descriptor

RULES = Rules(
    authentication=AuthenticationRules(), own_addresses=frozenset({"support@desk.test"}), id_domain="tickets.desk.test"
)
ENVELOPE = Envelope(
    reverse_path="jane@customer.test",
    recipient="support@desk.test",
    inbox="support",
    source="lmtp",
    received_at=datetime(2026, 11, 23, 10, tzinfo=UTC),
)
PATIENCE = 60.0


class NoDns:
    async def resolve(self, keys: Iterable[str], within: float = 5.0) -> dict[str, DnsAnswer]:
        return {key: DnsAnswer("absent") for key in keys}


def mail(text: str) -> bytes:
    return (
        "From: jane@customer.test\r\nTo: support@desk.test\r\nSubject: Hello\r\n"
        "Date: Mon, 23 Nov 2026 09:58:00 +0000\r\nMessage-ID: <1@customer.test>\r\n"
        f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    ).encode()


HUGE = mail("0123456789 abcdef\r\n" * 700_000)  # 13 MB: legal, and more than a child with little memory can hold


@asynccontextmanager
async def running(
    children: int = 1, *, memory: int = 512 << 20, cpu: int = 10, wall: int = 30, batch: int = 16
) -> AsyncIterator[Cage]:
    cage = Cage(
        CageSettings(children=children, memory=Size(memory), cpu_seconds=cpu, wall_seconds=wall, batch=batch), RULES
    )
    await cage.start()
    try:
        yield cage
    finally:
        await cage.close()


def read(cage: Cage, raw: bytes) -> Awaitable[Findings]:
    return asyncio.ensure_future(cage.examine(raw, ENVELOPE, NoDns()))


_OTHERS: set[int] = set()


def children_of(pid: int) -> list[int]:
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError):
                words = (place / "stat").read_text().rpartition(")")[2].split()
                command = (place / "cmdline").read_bytes()
                ours = int(words[1]) == pid and int(place.name) not in _OTHERS
                if ours and words[0] != "Z" and b"gateway.analysis.child" in command:
                    found.append(int(place.name))
    return sorted(found)


async def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def _children_of_other_tests() -> None:
    """Other tests of this process may keep a cage of their own open; its children are not ours to count."""
    _OTHERS.clear()
    _OTHERS.update(children_of(os.getpid()))


async def ready_children(count: int = 1) -> list[int]:
    """The children once they have locked themselves in."""

    def locked() -> bool:
        found = children_of(os.getpid())
        return len(found) == count and all(limit_of(pid, "Max open files") == ("0", "0") for pid in found)

    await wait_until(locked, f"{count} children are locked in")
    return children_of(os.getpid())


def limit_of(pid: int, name: str) -> tuple[str, str]:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
            if line.startswith(name):
                soft, hard = line.removeprefix(name).split()[:2]
                return soft, hard
    return "", ""


def is_original(findings: Findings, raw: bytes) -> bool:
    """Whether the mail itself is all that is attached (no assertion: pytest would print megabytes)."""
    return [(a.name, a.content) for a in findings.message.attachments] == [("original.eml", raw)]


def descriptors_of(pid: int) -> dict[str, str]:
    return {place.name: str(place.readlink()) for place in Path(f"/proc/{pid}/fd").iterdir()}


def memory_of(pid: int) -> int:
    """Address space in octets."""
    (line,) = [x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmSize")]
    return int(line.split()[1]) * 1024


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


# ------------------------------------------------------------------ what a child has


async def test_a_child_has_one_descriptor_an_empty_environment_and_every_limit() -> None:
    async with running(memory=300 << 20):
        (pid,) = await ready_children()
        assert list(descriptors_of(pid)) == ["0"]
        assert descriptors_of(pid)["0"].startswith("socket:")
        assert environment_of(pid) == b""
        for name in ("Max open files", "Max file size", "Max core file size", "Max processes"):
            assert limit_of(pid, name) == ("0", "0"), name
        assert limit_of(pid, "Max address space") == (str(300 << 20), str(300 << 20))


async def test_the_cpu_limit_is_set_before_each_mail() -> None:
    async with running(cpu=3) as cage:
        (pid,) = await ready_children()
        assert limit_of(pid, "Max cpu time")[0] == "unlimited"
        await read(cage, mail("first"))
        limit = int(limit_of(pid, "Max cpu time")[0])
        assert 3 <= limit <= 3 + 60


@pytest.mark.parametrize("attempt", ["socket.socket()", "open('/etc/passwd')", "os.dup(0)"])
def test_nothing_can_be_opened_once_the_door_is_shut(attempt: str) -> None:
    ours, theirs = socket.socketpair()
    program = (
        "import os, socket, errno\n"
        "from gateway.analysis.child import lock_in\n"
        "door = socket.socket(fileno=0)\n"
        "lock_in(512 << 20)\n"
        f"try:\n    {attempt}\n"
        "except OSError as error:\n    door.sendall(errno.errorcode[error.errno].encode())\n"
        "else:\n    door.sendall(b'opened')\n"
    )
    with ours, theirs:
        child = subprocess.Popen([sys.executable, "-c", program], stdin=theirs.fileno())
        theirs.close()
        ours.settimeout(PATIENCE)
        assert ours.recv(100) in (b"EMFILE", b"EINVAL")
        child.wait(PATIENCE)


async def test_text_in_any_charset_python_knows_is_read_without_opening_a_file() -> None:
    names = ["iso-2022-jp", "gb18030", "koi8-r", "cp1255", "mac-roman", "utf-7", "big5hkscs", "hz", "shift_jis"]
    async with running() as cage:
        await ready_children()
        for name in names:
            raw = mail("hello").replace(b"charset=utf-8", f"charset={name}".encode())
            findings = await read(cage, raw)
            assert findings.message.text.strip() == "hello", name


# ------------------------------------------------------------------ who is hurt


async def test_a_child_that_hangs_is_replaced_and_the_mail_read_by_the_next() -> None:
    async with running(wall=2) as cage:
        (pid,) = await ready_children()
        os.kill(pid, signal.SIGSTOP)
        findings = await read(cage, mail("stuck"))
        assert findings.message.text.strip() == "stuck"
        assert cage.deaths == 1
        assert pid not in children_of(os.getpid())


async def test_a_child_that_dies_idle_costs_no_mail_a_life() -> None:
    async with running() as cage:
        (pid,) = await ready_children()
        os.kill(pid, signal.SIGSEGV)
        # Dead is when it can be waited for: a process that is still exiting has lost its command line already.
        ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
        await wait_until(lambda: os.waitid(os.P_PID, pid, ended) is not None, "the child is dead")
        findings = await read(cage, mail("after"))
        assert findings.message.text.strip() == "after"
        assert cage.deaths == 0


@pytest.mark.parametrize("blow", [signal.SIGSEGV, signal.SIGKILL, signal.SIGXCPU])
async def test_a_child_that_crashes_in_a_batch_costs_the_others_nothing(blow: signal.Signals) -> None:
    async with running() as cage:
        (pid,) = await ready_children()
        os.kill(pid, signal.SIGSTOP)  # so that the batch is in its hands for certain
        answers = [read(cage, mail(f"mail {n}")) for n in range(8)]
        await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        os.kill(pid, blow)
        os.kill(pid, signal.SIGCONT)
        for n, answer in enumerate(answers):
            assert (await answer).message.text.strip() == f"mail {n}"
        assert cage.deaths == 1


async def test_a_mail_that_exhausts_a_childs_memory_becomes_unreadable_and_the_others_are_read() -> None:
    async with running():
        (pid,) = await ready_children()
        size = memory_of(pid)
    async with running(memory=size + len(HUGE) * 5 // 2) as cage:  # it fits in, its text in characters does not
        await ready_children()
        hostile = read(cage, HUGE)
        others = [read(cage, mail(f"mail {n}")) for n in range(6)]
        findings = await hostile
        assert findings.message.unreadable
        assert findings.authentication.author is None
        assert is_original(findings, HUGE)
        for n, other in enumerate(others):
            assert (await other).message.text.strip() == f"mail {n}"
        assert cage.deaths == 2


def with_file(name: str, content: str) -> bytes:
    head, _, text = mail("See the file.").partition(b"\r\n\r\n")
    head = head.replace(b"text/plain; charset=utf-8", b"multipart/mixed; boundary=x")
    part = f'Content-Type: text/plain\r\nContent-Disposition: attachment; filename="{name}"\r\n\r\n{content}'
    return head + b"\r\n\r\n--x\r\n\r\n" + text + b"\r\n--x\r\n" + part.encode() + b"\r\n--x--\r\n"


async def test_the_files_of_an_old_mail_are_taken_out_inside_and_nothing_else_comes_back() -> None:
    async with running() as cage:
        (file,) = await cage.unpack(with_file("list.txt", "twelve licences"), ENVELOPE)
        assert (file.name, file.content.strip()) == ("list.txt", b"twelve licences")
        assert await cage.unpack(mail("no file at all"), ENVELOPE) == ()


async def test_a_mail_that_kills_whoever_takes_its_files_out_is_its_only_file() -> None:
    async with running():
        (pid,) = await ready_children()
        size = memory_of(pid)
    async with running(memory=size + len(HUGE) * 5 // 2) as cage:
        await ready_children()
        hostile = asyncio.ensure_future(cage.unpack(HUGE, ENVELOPE))
        other = asyncio.ensure_future(cage.unpack(with_file("list.txt", "twelve"), ENVELOPE))
        (file,) = await hostile
        assert (file.name, file.content) == ("original.eml", HUGE)
        assert [one.name for one in await other] == ["list.txt"]
        assert cage.deaths == 2


async def test_a_mail_that_takes_too_much_processor_time_becomes_unreadable() -> None:
    async with running(cpu=0, wall=30) as cage:
        await ready_children()
        # Every reading of it costs seconds; one second is allowed (none, and one for rounding).
        parts = "".join(f"--x\r\nContent-Type: text/html\r\n\r\n{'<p><b>a</b> ' * 9000}\r\n" for _ in range(400))
        heavy = mail(parts + "--x--").replace(b"text/plain; charset=utf-8", b"multipart/mixed; boundary=x")
        findings = await read(cage, heavy)
        other = await read(cage, mail("next"))
        assert other.message.text.strip() == "next"
        assert findings.message.unreadable
        assert is_original(findings, heavy)
        assert cage.deaths == 2


async def test_a_mail_whose_header_is_over_the_limit_has_its_original_attached() -> None:
    bloated = b"X-Filler: " + b"a" * 70 + b"\r\n"
    raw = bloated * 5000 + mail("who am I")
    async with running() as cage:
        findings = await read(cage, raw)
        assert cage.deaths == 0
    assert findings.message.unreadable
    assert findings.authentication.author is None
    assert is_original(findings, raw)


async def test_a_mail_whose_child_always_hangs_is_given_up_after_two_children() -> None:
    stopped: set[int] = set()
    # Large, so that a child is stopped while it takes the mail in, not after it has read it.
    doomed = mail("doomed\r\n" + ("a long line of a long mail " * 3 + "\r\n") * 200_000)

    async def stop_every_child() -> None:
        while True:
            for pid in children_of(os.getpid()):
                if pid not in stopped and limit_of(pid, "Max open files") == ("0", "0"):
                    os.kill(pid, signal.SIGSTOP)
                    stopped.add(pid)
            await asyncio.sleep(0.005)

    async with running(wall=1) as cage:
        await ready_children()
        stopping = asyncio.create_task(stop_every_child())
        await wait_until(lambda: bool(stopped), "the first child is stopped")
        try:
            findings = await read(cage, doomed)
        finally:
            stopping.cancel()
        assert "too long" in findings.message.unreadable
        assert is_original(findings, doomed)
        assert len(stopped) >= 2


def say_for(pid: int, words: bytes) -> None:
    """Write into a child's end of its pipe, as a child would whose code was taken over."""
    handle = os.pidfd_open(pid)
    try:
        theirs = take_descriptor(handle, 0)
    finally:
        os.close(handle)
    with socket.socket(fileno=theirs) as pipe:
        pipe.sendall(words)


async def test_an_answer_that_is_no_answer_makes_the_mail_unreadable_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """fault-33. A child whose code was taken over may write anything: a stranger writes into its end of the pipe."""
    async with running() as cage:
        (pid,) = await ready_children()
        os.kill(pid, signal.SIGSTOP)
        answer = read(cage, mail("lie to me"))
        await asyncio.sleep(0.1)
        say_for(pid, b"\x00\x00\x00\x05hello")
        findings = await answer
        assert "malformed answer" in findings.message.unreadable
        assert cage.deaths == 1
        (alarm,) = [record for record in caplog.records if record.getMessage() == "alert"]
        assert "a reader process answered nonsense" in str(vars(alarm))
        assert (await read(cage, mail("next"))).message.text.strip() == "next"


async def test_an_answer_that_says_it_is_enormous_is_not_waited_for() -> None:
    async with running() as cage:
        (pid,) = await ready_children()
        os.kill(pid, signal.SIGSTOP)
        answer = read(cage, mail("lie to me"))
        await asyncio.sleep(0.1)
        say_for(pid, b"\xff\xff\xff\xff")
        assert "malformed answer" in (await answer).message.unreadable


async def test_other_mail_is_read_while_one_child_hangs() -> None:
    async with running(children=2, wall=20, batch=1) as cage:
        first, _ = await ready_children(2)
        os.kill(first, signal.SIGSTOP)
        answers = [read(cage, mail(f"mail {n}")) for n in range(6)]
        done, waiting = await asyncio.wait([asyncio.ensure_future(a) for a in answers], timeout=10)
        assert len(done) == 5
        assert len(waiting) == 1
        os.kill(first, signal.SIGCONT)
        assert (await waiting.pop()).message.text
        assert cage.deaths == 0


# ------------------------------------------------------------------ the end


async def test_closing_leaves_no_process_and_tells_those_who_wait() -> None:
    async with running(children=2) as cage:
        pids = await ready_children(2)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        answers = [read(cage, mail(f"mail {n}")) for n in range(40)]
        await asyncio.sleep(0.1)
        await cage.close()
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert all(isinstance(result, TemporaryError) for result in results)
        assert children_of(os.getpid()) == []
        with pytest.raises(TemporaryError):
            await read(cage, mail("too late"))


async def test_new_rules_reach_the_children_before_the_next_mail() -> None:
    async with running() as cage:
        (old,) = await ready_children()
        cage.renew_rules(Rules(authentication=AuthenticationRules(), id_domain="other.test"))
        await read(cage, mail("under new rules"))
        assert old not in children_of(os.getpid())


async def test_a_child_is_replaced_after_so_many_mails() -> None:
    cage = Cage(CageSettings(children=1, recycle_after=3), RULES)
    await cage.start()
    try:
        (old,) = await ready_children()
        for n in range(4):
            await read(cage, mail(f"mail {n}"))
        assert old not in children_of(os.getpid())
        assert cage.deaths == 0
    finally:
        await cage.close()


_WEEKLY = (
    b"From: jane@customer.test\r\nTo: support@desk.test\r\nSubject: Review\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n"
    b"SUMMARY:Review\r\nDTSTART:20261124T093000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def test_what_a_child_reads_does_not_depend_on_modules_it_can_no_longer_load() -> None:
    """Every whole mail of the test collection, and one with times in it: the child reads what we read here."""
    mails = [_WEEKLY, *(found.read_bytes() for found in sorted(Path(__file__).parent.parent.glob("corpus/**/*.eml")))]

    async def play() -> list[Findings]:
        async with running() as cage:
            return [await read(cage, raw) for raw in mails]

    for raw, caged in zip(mails, asyncio.run(play()), strict=True):
        free = examine(raw, ENVELOPE, {}, RULES)
        assert (caged.message, caged.body, caged.forwarded) == (free.message, free.body, free.forwarded)
        assert not [defect for defect in caged.message.defects if "Error" in defect]
