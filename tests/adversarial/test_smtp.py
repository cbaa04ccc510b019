"""adv-39, adv-48 to adv-53: the wire. One mail is one mail, whatever stands in it and however it is cut."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl

import pytest
import trustme

from tests.adversarial.judging import Played, Result, check_sentences, judge, sentence
from tests.adversarial.playing import make, play_and_judge
from tests.adversarial.process import SOCKET_BUFFERS, Process
from tests.adversarial.rows import MACROS, Case, cases
from tests.support.desk import EVIL, Desk, plain_mail
from tests.support.smtp_client import Client, Gone, Reply, stuff, until

# ------------------------------------------------------------------ adv-39: guessing tokens


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", cases("adv-39"), ids=str)
async def test_adv_39(desk: Desk, case: Case, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, logger="ticketgate")
    right, chance, letters = desk.token("TA"), random.Random(39), "abcdefghijklmnopqrstuvwxyz234567"
    # The limit on commands without a mail is another defence, with a test of its own; here it would only cost time.
    place = await desk.listen("smtp", max_commands=1_000_000)
    replies: dict[bool, list[Reply]] = {True: [], False: []}
    client = await greeted(place)
    guesses = [f"support+tk-4827-0-31-{''.join(chance.choices(letters, k=16))}@desk.test" for _ in range(10_000)]
    recipients = [right if number % 100 == 0 else guess for number, guess in enumerate(guesses, 1)]
    for number, recipient in enumerate(recipients[:100], 1):
        replies[recipient == right].append(await one_transaction(client, recipient, number))
    for start in range(100, 10_000, 100):  # pipelined, because nothing is accepted any more
        block = recipients[start : start + 100]
        lines = [f"MAIL FROM:<{EVIL}>\r\nRCPT TO:<{recipient}>\r\nRSET\r\n" for recipient in block]
        await client.send("".join(lines).encode())
        for recipient in block:
            mail, rcpt, reset = [await client.reply() for _ in range(3)]
            assert mail.code == reset.code == 250
            replies[recipient == right].append(rcpt)
    result = Result(desk, case, Played(), {"replies": replies, "place": place, "client": client})
    assert not desk.changed()
    await check_sentences(result)
    await client.close()


async def greeted(place: str, **source: tuple[str, int]) -> Client:
    host, _, port = place.rpartition(":")
    client = Client(*await asyncio.open_connection(host, int(port), **source))
    assert (await client.reply()).code == 220
    await client.hello("EHLO")
    return client


async def one_transaction(client: Client, recipient: str, number: int) -> Reply:
    """The reply after the dot, or that to RCPT when it was refused."""
    await client.send(f"MAIL FROM:<{EVIL}>\r\nRCPT TO:<{recipient}>\r\n".encode())
    assert (await client.reply()).code == 250
    reply = await client.reply()
    if reply.code != 250:
        assert (await client.say("RSET")).code == 250
        return reply
    assert (await client.say("DATA")).code == 354
    await client.send(stuff(plain_mail(EVIL, "guess", f"Number {number}", number)) + b".\r\n")
    return await client.reply()


@sentence("RCPT replies to right and wrong tokens are identical at every moment")
def _(result: Result) -> None:
    """Only the first twenty are accepted, all of them wrong; from then on right and wrong get the same words."""
    replies: dict[bool, list[Reply]] = result.seen["replies"]
    assert {reply.text for reply in replies[True]} == {reply.text for reply in replies[False] if reply.code != 250}


@sentence("after 20 bad tokens in an hour the client gets 451 4.7.1 for everything")
async def _(result: Result) -> None:
    replies: dict[bool, list[Reply]] = result.seen["replies"]
    codes = [(reply.code, reply.enhanced) for reply in replies[False]]
    assert codes == [(250, "2.0.0")] * 20 + [(451, "4.7.1")] * (9_900 - 20)
    assert {(reply.code, reply.enhanced) for reply in replies[True]} == {(451, "4.7.1")}
    client = await greeted(result.seen["place"])
    for one in (result.seen["client"], client):
        reply = await one_transaction(one, "support@desk.test", 0)
        assert (reply.code, reply.enhanced) == (451, "4.7.1")
    await client.close()


@sentence("mail of other clients is unaffected")
async def _(result: Result) -> None:
    client = await greeted(result.seen["place"], local_addr=("127.0.0.2", 0))
    right = result.desk.token("TA")
    wrong = right.replace("@", "a@")
    for number, recipient in enumerate((right, wrong, "support@desk.test")):
        assert (await client.deliver(plain_mail("joe@elsewhere.test", "x", "y", number), recipient)).code == 250
    await client.close()


# ------------------------------------------------------------------ adv-48: smuggling


@pytest.mark.parametrize("case", cases("adv-48"), ids=str)
@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
async def test_adv_48(desk: Desk, case: Case, protocol: str) -> None:
    end = case.get("end").encode("latin-1")
    filled = {name: text.encode("latin-1") for name, text in MACROS.items()}
    head, _, tail = case.get("wire").partition("{{END}}")

    def bytes_of(text: str) -> bytes:
        for name, value in filled.items():
            text = text.replace("{{" + name + "}}", value.decode("latin-1"))
        return text.encode("latin-1")

    commands, _, before = bytes_of(head).partition(b"DATA\r\n")
    data = before + end + bytes_of(tail)
    assert data.endswith(b"\r\n.\r\n")
    sent = data.removesuffix(b".\r\n")
    expected = sent.replace(b"\r\n.", b"\r\n")
    expected = expected[1:] if expected.startswith(b".") else expected
    result = Result(desk, case, Played())
    cut_at = range(len(before) - 8, len(before) + len(end) + 9)
    for cut in cut_at:
        async with desk.session(protocol) as client:
            for command in commands.decode().split("\r\n")[:-1]:
                assert (await client.say(command)).code == 250
            assert (await client.say("DATA")).code == 354
            await client.send(data[:cut])
            await asyncio.sleep(0)  # two segments: the first is on its way before the second is written
            await client.send(data[cut:])
            result.played.replies.append(await client.reply())
            assert (await client.say("NOOP")).code == 250
            assert (await client.say("QUIT")).code == 221
    await desk.work()
    result.__post_init__()
    result.played.raws.append(expected)
    judge(result)  # one row: every cut gave the same bytes, which are the same arrival
    await check_sentences(result)


@sentence("exactly one message, never two")
def _(result: Result) -> None:
    assert len(result.rows) == 1
    taken = {reply.text for reply in result.played.replies}
    assert taken == {f"2.0.0 Taken as {result.row.id}"}


@sentence("raw equals the bytes sent, less one dot at the beginning of a CRLF line")
def _(result: Result) -> None:
    assert result.desk.raw(result.row) == result.raw


@sentence("its author is not agent@corp.test")
def _(result: Result) -> None:
    verdict = result.desk.authentication(result.row)
    assert verdict.author is None or verdict.author.address == EVIL
    assert result.row.envelope.reverse_path == EVIL


# ------------------------------------------------------------------ adv-49: STARTTLS


@pytest.mark.parametrize("case", cases("adv-49"), ids=str)
async def test_adv_49(desk: Desk, case: Case) -> None:
    authority = trustme.CA()
    server, ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("mx.desk.test").configure_cert(server)
    authority.configure_trust(ours)
    host, _, port = (await desk.listen("smtp", tls=server)).rpartition(":")
    hello, rest = case.get("wire").split("\r\n", 1)

    def converse() -> list[bytes]:
        # A blocking socket, because the plaintext and the handshake have to be in one segment.
        with socket.create_connection((host, int(port)), timeout=20) as plain:
            stream = plain.makefile("rb")
            stream.readline()
            plain.sendall(hello.encode() + b"\r\n")
            while stream.readline()[3:4] == b"-":
                pass
            plain.sendall(rest.encode())
            assert stream.readline().startswith(b"220 ")
            with ours.wrap_socket(plain, server_hostname="mx.desk.test") as secure:
                secure.sendall(b"RCPT TO:<support@desk.test>\r\nMAIL FROM:<evil@evil.test>\r\nQUIT\r\n")
                answers = b""
                while chunk := secure.recv(65536):
                    answers += chunk
                return answers.splitlines()

    answers = await asyncio.to_thread(converse)
    result = Result(desk, case, Played(), {"answers": [int(answer[:3]) for answer in answers]})
    result.played.replies.append(Reply(result.seen["answers"][0], ()))
    judge_refused(result)
    await check_sentences(result)


def judge_refused(result: Result) -> None:
    """Nothing was stored and nothing happened."""
    expect = result.case.expect
    assert [str(reply.code) for reply in result.played.replies] == [expect["reply"]] * len(result.played.replies)
    assert len(result.rows) == expect["rows"] == 0
    assert not result.desk.changed() and not result.desk.outbox()


@sentence("MAIL was not executed")
def _(result: Result) -> None:
    assert result.seen["answers"][0] == 503  # with MAIL executed, RCPT would have been right


@sentence("EHLO is required again")
def _(result: Result) -> None:
    assert result.seen["answers"] == [503, 503, 221]


# ------------------------------------------------------------------ adv-50 to adv-53: size


@pytest.mark.parametrize("case", cases("adv-50"), ids=str)
async def test_adv_50(process: Process, case: Case) -> None:
    async with process.session() as client:
        await client.open_data()
        sent, chunk, reply = 0, b"A" * (1 << 20), None
        try:
            while sent < 400 << 20:
                await asyncio.wait_for(client.send(chunk), 20)
                sent += len(chunk)
        except ConnectionError:
            pass
        try:
            reply = await client.reply()
        except Gone:
            reply = None  # the reset overtook the reply: what counts is that it ended and nothing was taken
    assert reply is None or str(reply.code) == case.expect["reply"]
    assert sent < 400 << 20, "it was read to the end"
    assert not process.mails()
    assert process.peak_mb() < case.expect["max_rss_mb"]
    assert case.checks == ["connection closed before 50 MiB were read"]
    # The bound is 50 MiB and a chunk; the buffers of the kernel took more that nobody read.
    assert sent < (50 << 20) + SOCKET_BUFFERS


@pytest.mark.parametrize("case", cases("adv-51"), ids=str)
async def test_adv_51(process: Process, case: Case, desk: Desk) -> None:
    raw, clock = make(case, desk), asyncio.get_running_loop().time
    async with process.session() as client, process.session() as other:
        await client.open_data()
        sending = asyncio.create_task(client.send(stuff(raw) + b".\r\n"))
        seconds = []
        for number in range(3):  # a busy machine may delay one; a listener that is held up delays them all
            began = clock()
            assert (await other.deliver(plain_mail("joe@elsewhere.test", "x", "y", number))).code == 250
            seconds.append(clock() - began)
        assert min(seconds) < case.expect["others_reply_s"], seconds
        await sending
        reply = await client.reply()
    assert str(reply.code) == case.expect["reply"]
    assert case.checks == ["stored byte-identical", "RSS of the daemon, not of the cage"]
    await until(lambda: all(row.outcome for row, _ in process.mails()), 60)
    assert raw in [kept for _, kept in process.mails()]
    assert process.peak_mb() < case.expect["max_rss_mb"]


@pytest.mark.parametrize("case", cases("adv-52"), ids=str)
async def test_adv_52(desk: Desk, case: Case) -> None:
    await play_and_judge(desk, case)


@sentence("stored byte-identical, not wrapped")
def _(result: Result) -> None:
    kept = result.desk.raw(result.row)
    assert kept == result.raw and max(map(len, kept.split(b"\r\n"))) >= 5000


@pytest.mark.parametrize("case", [c for c in cases("adv-53") if c.variant == "lmtp-two"], ids=str)
async def test_adv_53_lmtp(desk: Desk, case: Case) -> None:
    raw = plain_mail("joe@elsewhere.test", "x", "y", 1)
    played, seen = Played(raws=[raw]), {}
    async with desk.session("lmtp") as client:
        assert (await client.say("MAIL FROM:<joe@elsewhere.test>")).code == 250
        seen["rcpt"] = [await client.say(f"RCPT TO:<{name}@desk.test>") for name in ("support", "sales")]
        assert (await client.say("DATA")).code == 354
        await client.send(stuff(raw) + b".\r\nNOOP\r\n")
        seen["data"] = [await client.reply(), await client.reply()]
        seen["next"] = [await client.deliver(raw, "sales@desk.test")]
    await desk.work()
    played.replies.append(seen["rcpt"][1])
    result = Result(desk, case, played, seen)
    assert str(seen["rcpt"][1].code) == case.expect["reply"]
    await check_sentences(result)


@sentence("the first RCPT gets 250, each later one 452 4.5.3")
def _(result: Result) -> None:
    first, *later = result.seen["rcpt"]
    assert first.code == 250
    assert {(reply.code, reply.enhanced) for reply in later} == {(452, "4.5.3")}


@sentence("after DATA exactly one reply")
def _(result: Result) -> None:
    taken, noop = result.seen["data"]
    assert (taken.code, noop.code) == (250, 250) and "Taken" in taken.text and "Taken" not in noop.text


@sentence("the next transaction on the connection works")
def _(result: Result) -> None:
    assert result.seen["next"][0].code == 250
    assert [row.envelope.recipient for row in result.rows] == ["support@desk.test", "sales@desk.test"]


@pytest.mark.parametrize("case", [c for c in cases("adv-53") if c.variant == "smtp-20000"], ids=str)
async def test_adv_53_smtp(process: Process, case: Case) -> None:
    """The listener does not even count so far: after 20 commands without a mail it says 421 and closes."""
    async with process.session() as client:
        assert (await client.say("MAIL FROM:<evil@evil.test>")).code == 250
        replies = []
        try:
            for _ in range(20_000):
                replies.append(await client.say("RCPT TO:<support@desk.test>"))
        except (Gone, ConnectionError):
            pass
    assert replies[0].code == 250
    later = replies[1:-1]
    assert later and {str(reply.code) for reply in later} == {case.expect["reply"]}
    assert replies[-1].code == 421 and len(replies) < 25
    assert process.peak_mb() < case.expect["max_rss_mb"]
