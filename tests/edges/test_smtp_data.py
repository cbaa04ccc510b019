"""Where a mail ends: CRLF . CRLF and nothing else, wherever the chunks are cut; and what a mail may cost."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ingest.data import Block
from tests.support.smtp_client import MAIL, Gone, connect, edge, session, stuff, until

ILLEGAL_ENDS = {
    "lf-dot-lf": b"\n.\n",
    "lf-dot-cr": b"\n.\r",
    "lf-dot-crlf": b"\n.\r\n",
    "cr-dot-lf": b"\r.\n",
    "cr-dot-cr": b"\r.\r",
    "cr-dot-crlf": b"\r.\r\n",
    "crlf-dot-lf": b"\r\n.\n",
    "crlf-dot-cr": b"\r\n.\r",
    "nul-after-dot": b"\r\n.\0\r\n",
    "nul-before-dot": b"\r\n\0.\r\n",
    "crlf-dot-cr-cr-lf": b"\r\n.\r\r\n",
    "lf-crlf-dot-lf": b"\n\r\n.\n",
}
SMUGGLED = (
    b"MAIL FROM:<agent@corp.test>\r\nRCPT TO:<support@desk.test>\r\nDATA\r\nFrom: agent@corp.test\r\n\r\nevil\r\n"
)


def read_all(chunks: list[bytes], limit: int = 1 << 20) -> Block:
    block = Block(limit)
    for number, chunk in enumerate(chunks):
        if block.feed(chunk):
            block.rest += b"".join(chunks[number + 1 :])
            return block
    raise AssertionError("no end found")


def unstuff(data: bytes) -> bytes:
    """The reference: what stood before the first CRLF.CRLF, one leading dot of each CRLF line removed."""
    lines = (b"\r\n" + data).split(b"\r\n")[1:]
    end = lines.index(b".")
    return b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines[:end])


@pytest.mark.parametrize("end", ILLEGAL_ENDS.values(), ids=ILLEGAL_ENDS.keys())
def test_an_illegal_end_of_data_is_content_at_every_chunk_border(end):
    content = MAIL + b"rest" + end + SMUGGLED
    wire = content + b".\r\nQUIT\r\n"
    around = len(MAIL) + 4
    for cut in range(around - 8, around + len(end) + 8):
        block = read_all([wire[:cut], wire[cut:]])
        assert block.rest == b"QUIT\r\n"
        assert block.content() == unstuff(wire)
    block = read_all([bytes([octet]) for octet in wire])
    assert block.content() == unstuff(wire)
    assert block.rest == b"QUIT\r\n"


@settings(max_examples=400, deadline=None)
@given(
    pieces=st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"a", b"\0", b"\r\n."]), max_size=30),
    cuts=st.lists(st.integers(0, 200), max_size=12),
    rest=st.sampled_from([b"", b"\r\n.\r\n", b".\r\n", b"NOOP\r\n"]),
)
def test_a_block_reads_the_same_however_it_is_cut(pieces, cuts, rest):
    content = b"".join(pieces) + b"\r\n"
    wire = stuff(content) + b".\r\n" + rest
    borders = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    block = read_all([wire[a:b] for a, b in itertools.pairwise(borders)])
    assert block.size == len(content)
    assert block.content() == content
    assert block.rest == rest


@settings(max_examples=200, deadline=None)
@given(
    pieces=st.lists(st.sampled_from([b"\r\n", b"\r\n.", b"..", b"aaa", b"\r"]), max_size=40),
    step=st.integers(1, 9),
    limit=st.integers(0, 60),
)
def test_the_limit_counts_the_content_without_transparency_dots(pieces, step, limit):
    content = b"".join(pieces) + b"\r\n"
    wire = stuff(content) + b".\r\nNOOP\r\n"
    block = read_all([wire[i : i + step] for i in range(0, len(wire), step)], limit)
    assert block.size == len(content)
    assert bool(block.dropped) == (len(content) > limit)
    assert block.rest == b"NOOP\r\n"


def test_an_empty_mail_is_a_mail():
    assert read_all([b".\r\n"]).content() == b""
    assert read_all([b".", b"\r", b"\n"]).content() == b""


@pytest.mark.parametrize("end", ILLEGAL_ENDS.values(), ids=ILLEGAL_ENDS.keys())
@pytest.mark.parametrize("protocol", ["lmtp", "smtp"])
async def test_nothing_is_smuggled_through_the_listener(tmp_path, protocol, end):
    word = "LHLO" if protocol == "lmtp" else "EHLO"
    wire = MAIL + b"rest" + end + SMUGGLED + b".\r\n"
    around = len(MAIL) + 4
    async with edge(tmp_path, protocol) as running:
        for cut in range(around - 2, around + len(end) + 3, 2):
            async with session(running, word) as client:
                await client.open_data(reverse_path="evil@evil.test")
                await client.send(wire[:cut])
                await asyncio.sleep(0)
                await client.send(wire[cut:])
                assert (await client.reply()).code == 250
                assert (await client.say("QUIT")).code == 221
            envelope, raw = running.mails.pop()
            assert running.mails == []
            assert envelope.reverse_path == "evil@evil.test"
            assert raw == unstuff(wire)


@pytest.mark.parametrize("length", [999, 5000, 1_000_000])
async def test_long_lines_arrive_as_they_were_sent(tmp_path, length):
    mail = MAIL + b"x" * length + b"\r\n"
    async with edge(tmp_path) as running, session(running) as client:
        assert (await client.deliver(mail)).code == 250
        assert running.mails[0][1] == mail


async def test_eight_bit_nul_and_bare_line_ends_arrive_as_they_were_sent(tmp_path):
    mail = bytes(range(256)) * 300 + b"\r\n" + b"\r\n.\n..\r.\n" * 50 + b"\r\n"
    async with edge(tmp_path) as running, session(running) as client:
        assert (await client.deliver(mail)).code == 250
        assert running.mails[0][1] == mail


async def test_three_pipelined_mails_in_one_segment_are_three(tmp_path):
    async with edge(tmp_path) as running, session(running) as client:
        one = b"MAIL FROM:<ann@customer.test>\r\nRCPT TO:<support@desk.test>\r\nDATA\r\n" + MAIL + b".\r\n"
        await client.send(one * 3 + b"QUIT\r\n")
        assert [(await client.reply()).code for _ in range(13)] == [250, 250, 354, 250] * 3 + [221]
        assert [raw for _, raw in running.mails] == [MAIL] * 3


async def test_a_mail_of_exactly_the_limit_is_taken_and_one_octet_more_is_not(tmp_path):
    async with edge(tmp_path, max_size=100_000) as running, session(running) as client:
        fits = MAIL + (b".dotted line\r\n" * 10_000)[: 100_000 - len(MAIL) - 2] + b"\r\n"
        assert len(fits) == 100_000
        assert (await client.deliver(fits)).code == 250
        reply = await client.deliver(b"x" + fits)
        assert (reply.code, reply.enhanced) == (552, "5.3.4")
        assert (await client.deliver(MAIL)).code == 250
        assert [raw for _, raw in running.mails] == [fits, MAIL]


async def test_at_twice_the_limit_the_connection_is_closed(tmp_path):
    async with edge(tmp_path, max_size=100_000) as running, session(running) as client:
        await client.open_data()
        sent = 0
        with pytest.raises((ConnectionError, Gone)):
            while sent < 50_000_000:
                await client.send(b"A" * 65536)
                sent += 65536
            await client.reply()
            await client.reply()
        assert sent < 5_000_000
        assert running.mails == []


async def test_mails_in_flight_have_a_common_bound(tmp_path):
    # Fifty connections with a mail of almost the limit each must not be fifty times the limit.
    async with edge(tmp_path, max_size=100_000, memory=1) as running:
        mail = MAIL + b"x" * 90_000 + b"\r\n"
        release = asyncio.Event()
        running.commit = release.wait
        async with asyncio.TaskGroup() as together:

            async def deliver() -> int:
                async with session(running) as client:
                    return (await client.deliver(mail)).code

            tasks = [together.create_task(deliver()) for _ in range(8)]
            await until(lambda: sum(task.done() for task in tasks) == 4)
            release.set()
        codes = sorted(task.result() for task in tasks)
        assert codes == [250] * 4 + [452] * 4
        running.commit = None
        async with session(running) as client:
            assert (await client.deliver(mail)).code == 250


# ------------------------------------------------------------------ memory, of a process of its own

SERVER = """
import asyncio, sys
from pathlib import Path
from tests.support.smtp_client import edge

async def main():
    async with edge(Path(sys.argv[1])) as running:
        async def forget(envelope, raw):
            return await original(envelope, raw[:0] + str(len(raw)).encode())
        original, running.receive = running.receive, forget
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


def peak_rss(pid: int) -> int:
    """VmHWM of a process, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


@pytest.fixture
async def server(tmp_path):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVER,
        str(tmp_path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert await process.stdout.readline() == b"ready\n"
    yield process.pid, str(tmp_path / "lmtp.sock")
    process.stdin.close()
    await process.wait()


async def test_two_hundred_megabytes_without_a_line_end_cost_little_memory(server):
    pid, place = server
    before = peak_rss(pid)
    async with connect(place) as client:
        await client.reply()
        await client.hello()
        await client.open_data()
        with pytest.raises((ConnectionError, Gone)):
            for _ in range(3200):
                await client.send(b"A" * 65536)
            await client.reply()
            await client.reply()
    assert peak_rss(pid) - before < 60 * 1024 * 1024
    async with connect(place) as client:
        await client.reply()
        await client.hello()
        assert (await client.deliver()).code == 250


async def test_twenty_five_megabytes_of_empty_lines_are_one_object(server):
    pid, place = server
    before = peak_rss(pid)
    async with connect(place) as client:
        await client.reply()
        await client.hello()
        assert (await client.deliver(MAIL + b"\r\n" * 12_500_000)).code == 250
    assert peak_rss(pid) - before < 120 * 1024 * 1024
