"""DNS for the parent, against a real name server on loopback."""

from __future__ import annotations

import asyncio

import pytest

from gateway import resolver as resolver_module
from gateway.model import DnsAnswer
from gateway.resolver import Resolver, ZoneResolver, split_server
from tests.support.dns_server import DnsServer, running_dns


class Clock:
    """A clock that stands still until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def txt(name: str, *values: str, ttl: int = 300) -> dict[tuple[str, str], list[str]]:
    return {(name, "TXT"): [f'{name}. {ttl} IN TXT "{value}"' for value in values]}


async def test_records_of_every_kind_come_back_as_text() -> None:
    zone = {
        **txt("_dmarc.a.test", "v=DMARC1; p=none"),
        ("long.a.test", "TXT"): ['long.a.test. 60 IN TXT "v=spf1 " "-all"'],
        ("a.test", "MX"): ["a.test. 60 IN MX 10 mx.a.test."],
        ("mx.a.test", "A"): ["mx.a.test. 60 IN A 192.0.2.7"],
        ("mx.a.test", "AAAA"): ["mx.a.test. 60 IN AAAA 2001:db8::7"],
        ("7.2.0.192.in-addr.arpa", "PTR"): ["7.2.0.192.in-addr.arpa. 60 IN PTR mx.a.test."],
    }
    async with running_dns(DnsServer(zone)) as server:
        resolver = Resolver([server.address])
        answers = await resolver.resolve(
            [
                "TXT _dmarc.a.test",
                "TXT long.a.test",
                "MX a.test",
                "A mx.a.test",
                "AAAA mx.a.test",
                "PTR 7.2.0.192.in-addr.arpa",
            ]
        )
        await resolver.close()
    assert [answer.values for answer in answers.values()] == [
        ("v=DMARC1; p=none",),
        ("v=spf1 -all",),
        ("10 mx.a.test.",),
        ("192.0.2.7",),
        ("2001:db8::7",),
        ("mx.a.test.",),
    ]


async def test_absent_and_failed_are_told_apart() -> None:
    zone = txt("here.a.test", "x")
    async with running_dns(DnsServer(zone, faults={"broken.a.test": "SERVFAIL", "mute.a.test": "silent"})) as server:
        resolver = Resolver([server.address])
        answers = await resolver.resolve(
            ["TXT nowhere.a.test", "MX here.a.test", "TXT broken.a.test", "TXT mute.a.test"], within=0.5
        )
        await resolver.close()
    assert [answer.status for answer in answers.values()] == ["absent", "absent", "failed", "failed"]


async def test_a_refused_connection_is_a_failure_and_raises_nothing() -> None:
    resolver = Resolver(["127.0.0.1:1"])
    assert await resolver.resolve(["TXT a.test"], within=1) == {"TXT a.test": DnsAnswer("failed")}
    await resolver.close()


async def test_an_answer_too_large_for_udp_is_fetched_over_tcp() -> None:
    async with running_dns(DnsServer(txt("big.a.test", *[f"{n}" * 200 for n in range(10)]))) as server:
        resolver = Resolver([server.address])
        answers = await resolver.resolve(["TXT big.a.test"])
        await resolver.close()
        assert server.over_tcp["TXT big.a.test"] == 1
    assert len(answers["TXT big.a.test"].values) == 10


async def test_an_answer_of_more_than_8_kib_is_not_used() -> None:
    async with running_dns(DnsServer(txt("huge.a.test", *[f"{n:03}" * 70 for n in range(50)]))) as server:
        resolver = Resolver([server.address])
        answers = await resolver.resolve(["TXT huge.a.test"])
        await resolver.close()
    assert answers["TXT huge.a.test"] == DnsAnswer("oversize")


@pytest.mark.parametrize(("length", "status"), [(3, "found"), (8, "found"), (9, "oversize")])
async def test_a_chain_of_aliases_is_followed_eight_steps(length: int, status: str) -> None:
    zone: dict[tuple[str, str], list[str]] = {
        (f"c{n}.a.test", "CNAME"): [f"c{n}.a.test. 60 IN CNAME c{n + 1}.a.test."] for n in range(length)
    }
    zone[(f"c{length}.a.test", "TXT")] = [f'c{length}.a.test. 60 IN TXT "end"']
    async with running_dns(DnsServer(zone)) as server:
        resolver = Resolver([server.address])
        answers = await resolver.resolve(["TXT c0.a.test"])
        await resolver.close()
    assert answers["TXT c0.a.test"].status == status


async def test_one_name_is_asked_once_however_many_wait_for_it() -> None:
    async with running_dns(DnsServer(txt("k.a.test", "x"), delay=0.05)) as server:
        resolver = Resolver([server.address])
        await asyncio.gather(*(resolver.resolve(["TXT k.a.test"]) for _ in range(50)))
        await resolver.close()
        assert server.asked["TXT k.a.test"] == 1


async def test_answers_are_kept_for_their_ttl_and_at_most_an_hour() -> None:
    clock = Clock()
    zone = {**txt("short.a.test", "x", ttl=60), **txt("week.a.test", "x", ttl=604800)}
    async with running_dns(DnsServer(zone)) as server:
        resolver = Resolver([server.address], clock)
        keys = ["TXT short.a.test", "TXT week.a.test"]
        for clock.now in (1000.0, 1059.0, 1061.0, 4599.0, 4601.0):
            await resolver.resolve(keys)
        await resolver.close()
        assert server.asked["TXT short.a.test"] == 3
        assert server.asked["TXT week.a.test"] == 2


async def test_absence_is_kept_for_five_minutes_at_most_and_failure_not_at_all() -> None:
    clock = Clock()
    async with running_dns(DnsServer({}, faults={"broken.a.test": "SERVFAIL"})) as server:
        resolver = Resolver([server.address], clock)
        await resolver.resolve(["TXT nowhere.a.test", "TXT broken.a.test"])
        first = server.asked["TXT broken.a.test"]
        clock.now += 301
        await resolver.resolve(["TXT nowhere.a.test", "TXT broken.a.test"])
        await resolver.close()
        assert server.asked["TXT nowhere.a.test"] == 2
        assert server.asked["TXT broken.a.test"] > first


async def test_absence_is_kept_no_longer_than_the_zone_says() -> None:
    """fault-37."""
    clock = Clock()
    async with running_dns(DnsServer({}, negative_ttl=20)) as server:
        resolver = Resolver([server.address], clock)
        for clock.now in (1000.0, 1019.0, 1021.0):
            await resolver.resolve(["TXT nowhere.a.test"])
        await resolver.close()
        assert server.asked["TXT nowhere.a.test"] == 2


async def test_an_answer_that_comes_too_late_for_one_mail_serves_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_dns(DnsServer(txt("slow.a.test", "x"), delay=0.2)) as server:
        resolver = Resolver([server.address])
        early = await resolver.resolve(["TXT slow.a.test"], within=0.01)
        late = await resolver.resolve(["TXT slow.a.test"])
        await resolver.close()
        assert (early["TXT slow.a.test"].status, late["TXT slow.a.test"].status) == ("failed", "found")
        assert server.asked["TXT slow.a.test"] == 1


async def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "MAX_CACHED", 5)
    async with running_dns(DnsServer({k: v for n in range(9) for k, v in txt(f"n{n}.a.test", "x").items()})) as server:
        resolver = Resolver([server.address])
        for n in range(9):
            await resolver.resolve([f"TXT n{n}.a.test"])
        await resolver.close()
        assert len(resolver._kept) == 5


@pytest.mark.parametrize(
    "key", ["TXT ", "TXT a..b", "TXT " + "x" * 64 + ".test", "ANY a.test", "TXT bücher.test", "TXT"]
)
async def test_what_cannot_be_asked_is_absent(key: str) -> None:
    resolver = Resolver(["127.0.0.1:1"])
    assert (await resolver.resolve([key]))[key].status == "absent"
    await resolver.close()


def test_servers_are_written_with_or_without_port() -> None:
    assert split_server("192.0.2.53") == ("192.0.2.53", 53)
    assert split_server("127.0.0.1:5353") == ("127.0.0.1", 5353)
    assert split_server("2001:db8::53") == ("2001:db8::53", 53)
    assert split_server("[2001:db8::53]:5353") == ("2001:db8::53", 5353)


async def test_a_zone_file_answers_without_asking_anybody() -> None:
    zone = ZoneResolver(
        {
            "_DMARC.A.test.": {"TXT": ["v=DMARC1; p=none"]},
            "a.test": {"MX": [[10, "mx.a.test"]], "A": ["192.0.2.7"], "TXT": [["v=spf1 ", "-all"]]},
            "gone.test": {"error": "NXDOMAIN"},
            "broken.test": {"error": "SERVFAIL"},
            "mute.test": {"error": "TIMEOUT"},
        }
    )
    keys = ["TXT _dmarc.a.test", "MX a.test", "A a.test", "TXT a.test", "AAAA a.test", "TXT other.test"]
    answers = await zone.resolve([*keys, "TXT gone.test", "A broken.test", "MX mute.test"])
    assert [(a.status, a.values) for a in answers.values()] == [
        ("found", ("v=DMARC1; p=none",)),
        ("found", ("10 mx.a.test",)),
        ("found", ("192.0.2.7",)),
        ("found", ("v=spf1 -all",)),
        ("absent", ()),
        ("absent", ()),
        ("absent", ()),
        ("failed", ()),
        ("failed", ()),
    ]
