"""Clients that go away, timers that run out, services that stop: a mail whose dot was seen is committed."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.smtp_client import MAIL, Gone, connect, edge, session, until


class Gate:
    """A commit that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.open.wait()


@pytest.mark.parametrize("unix", [True, False])
async def test_a_client_that_is_cut_off_after_the_dot_does_not_stop_the_commit(tmp_path, unix):
    async with edge(tmp_path, unix=unix) as running:
        running.commit = gate = Gate()
        async with session(running) as client:
            await client.open_data()
            await client.send(MAIL + b".\r\n")
            await gate.reached.wait()
            client.reset()
        if not unix:  # a unix socket knows no reset: it looks like a half-close, and the session waits with its answer
            await until(lambda: not running.listener.intake.sessions)
        assert running.mails == []
        gate.open.set()
        await running.committed()
        assert running.mails[0][1] == MAIL


@pytest.mark.parametrize("unix", [True, False])
async def test_a_client_that_half_closes_after_the_dot_still_gets_its_answer(tmp_path, unix):
    async with edge(tmp_path, unix=unix) as running:
        running.commit = gate = Gate()
        async with session(running) as client:
            await client.open_data()
            await client.send(MAIL + b".\r\n")
            client.writer.write_eof()
            await gate.reached.wait()
            await asyncio.sleep(0)
            gate.open.set()
            assert (await client.reply()).code == 250
            with pytest.raises(Gone):
                await client.reply()
        assert len(running.mails) == 1


async def test_clients_that_do_not_wait_for_a_commit_make_no_queue_without_end(tmp_path):
    async with edge(tmp_path, unix=False, max_sessions=2) as running:
        running.commit = gate = Gate()
        for number in range(8):
            async with session(running) as client:
                await client.open_data()
                await client.send(MAIL + b".\r\n")
                await until(lambda number=number: len(running.listener.intake.commits) == number + 1)
                client.reset()
            await until(lambda: not running.listener.intake.sessions)
        async with session(running) as client:
            assert (await client.say("MAIL FROM:<ann@customer.test>")).code == 250
            assert (await client.say("RCPT TO:<support@desk.test>")).code == 250
            reply = await client.say("DATA")
            assert (reply.code, reply.enhanced) == (451, "4.3.0")
            assert (await client.say("RSET")).code == 250
            gate.open.set()
            await running.committed(8)
            await until(lambda: not running.listener.intake.commits)
            assert (await client.deliver()).code == 250


async def test_a_timer_that_runs_out_during_the_commit_does_not_stop_it(tmp_path):
    async with edge(tmp_path, idle_timeout=0.2) as running:
        running.commit = gate = Gate()
        async with session(running) as client:
            await client.open_data()
            await client.send(MAIL + b".\r\n")
            with pytest.raises(Gone):
                await client.reply()
        assert running.mails == []
        gate.open.set()
        await running.committed()


@pytest.mark.parametrize("end", ["reset", "close", "half-close"])
async def test_without_the_dot_nothing_is_taken(tmp_path, end):
    async with edge(tmp_path, unix=False) as running:
        async with session(running) as client:
            await client.open_data()
            await client.send(MAIL + b".\r")
            if end == "reset":
                client.reset()
            elif end == "half-close":
                client.writer.write_eof()
                await client.gone()
        await until(lambda: not running.listener.intake.sessions)
        assert running.mails == []
        async with session(running) as client:
            assert (await client.deliver()).code == 250


async def test_a_slow_mail_arrives_although_it_takes_longer_than_the_idle_timer(tmp_path):
    async with edge(tmp_path, idle_timeout=1.0) as running, session(running) as client:
        await client.open_data()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await client.send(MAIL)
        while loop.time() - begun < 2.0:
            await client.send(b"one more line\r\n")
            await asyncio.sleep(0.1)
        assert (await client.say(b".")).code == 250


async def test_a_mail_that_never_ends_is_cut_by_the_wall_clock_and_others_go_on(tmp_path):
    async with edge(tmp_path, data_timeout=0.5) as running, session(running) as slow:
        await slow.open_data()

        async def drip() -> None:
            while True:
                await slow.send(b"x")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        async with session(running) as client:
            assert (await client.deliver()).code == 250
        reply = await slow.reply()
        assert (reply.code, reply.enhanced) == (451, "4.3.0")
        with pytest.raises(Gone):
            await slow.reply()
        dripping.cancel()
        assert len(running.mails) == 1


async def test_an_idle_client_is_cut(tmp_path):
    async with edge(tmp_path, idle_timeout=0.2) as running, session(running) as client:
        with pytest.raises(Gone):
            await client.reply()


async def test_a_commit_that_fails_after_its_client_left_is_only_logged(tmp_path, caplog):
    async with edge(tmp_path, unix=False) as running:
        gate = Gate()

        async def fail() -> None:
            await gate()
            raise RuntimeError("disk on fire")

        running.commit = fail
        async with session(running) as client:
            await client.open_data()
            await client.send(MAIL + b".\r\n")
            await gate.reached.wait()
            client.reset()
        await until(lambda: not running.listener.intake.sessions)
        gate.open.set()
        await until(lambda: not running.listener.intake.commits)
    assert [record.getMessage() for record in caplog.records if record.name == "ticketgate"][-1] == "not committed"
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_stopping_tells_idle_clients_and_waits_for_a_mail_on_its_way(tmp_path):
    async with edge(tmp_path) as running:
        async with session(running) as idle, session(running) as busy:
            await busy.open_data()
            await busy.send(MAIL)
            stopping = asyncio.create_task(running.listener.stop(grace=20))
            reply = await idle.reply()
            assert (reply.code, reply.enhanced) == (421, "4.3.2")
            await idle.gone()
            with pytest.raises((ConnectionError, FileNotFoundError)):
                async with connect(running.place):
                    pass
            assert not stopping.done()
            assert (await busy.say(b".")).code == 250
            reply = await busy.reply()
            assert (reply.code, reply.enhanced) == (421, "4.3.2")
            await busy.gone()
            await stopping
        assert [raw for _, raw in running.mails] == [MAIL]


async def test_stopping_cuts_a_mail_that_does_not_end_but_finishes_a_commit(tmp_path):
    async with edge(tmp_path) as running:
        running.commit = gate = Gate()
        async with session(running) as endless, session(running) as committing:
            await endless.open_data()
            await committing.open_data()
            await committing.send(MAIL + b".\r\n")
            await gate.reached.wait()
            stopping = asyncio.create_task(running.listener.stop(grace=0.1))
            await endless.gone()
            await committing.gone()
            assert not stopping.done()
            gate.open.set()
            await stopping
        assert len(running.mails) == 1
