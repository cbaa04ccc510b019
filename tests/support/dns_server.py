"""A name server on loopback with a zone, faults and a count of what was asked. UDP and TCP on one port."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dnslib import QTYPE, RCODE, RR, DNSRecord


@dataclass
class DnsServer:
    """``zone``: (name, type) -> resource records as text; ``faults``: name -> "SERVFAIL", "silent" or "slow"."""

    zone: Mapping[tuple[str, str], list[str]]
    faults: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    negative_ttl: int = 0
    """Seconds the zone says that an absence may be believed (its SOA); 0: it says nothing."""
    port: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    over_tcp: Counter[str] = field(default_factory=Counter)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, packet: bytes, tcp: bool) -> bytes | None:
        query = DNSRecord.parse(packet)
        name = str(query.q.qname).rstrip(".").lower()
        type_ = QTYPE[query.q.qtype]
        (self.over_tcp if tcp else self.asked)[f"{type_} {name}"] += 1
        fault = self.faults.get(name, "")
        if fault == "silent":
            return None
        reply = query.reply()
        if fault == "SERVFAIL":
            reply.header.rcode = RCODE.SERVFAIL
            return reply.pack()
        for _ in range(20):  # CNAMEs
            for line in self.zone.get((name, type_), []):
                reply.add_answer(*RR.fromZone(line))
            alias = self.zone.get((name, "CNAME"), [])
            if (reply.rr and self.zone.get((name, type_))) or not alias:
                break
            reply.add_answer(*RR.fromZone(alias[0]))
            name = alias[0].split()[-1].rstrip(".")
        if not reply.rr and not any(known == name for known, _ in self.zone):
            reply.header.rcode = RCODE.NXDOMAIN
            if self.negative_ttl:
                soa = f"a.test. {self.negative_ttl} IN SOA ns.a.test. ops.a.test. 1 3600 600 86400 {self.negative_ttl}"
                reply.add_auth(*RR.fromZone(soa))
        wire = reply.pack()
        if not tcp and len(wire) > 1232:
            short = query.reply()
            short.header.tc = 1
            return short.pack()
        return wire


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        wire = self._server.answer(data, tcp=False)
        if wire is not None:
            asyncio.get_running_loop().call_later(self._server.delay, self._transport.sendto, wire, address)  # type: ignore[attr-defined]


@asynccontextmanager
async def running_dns(server: DnsServer) -> AsyncIterator[DnsServer]:
    """The server listens while the block runs."""

    async def serve_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            wire = server.answer(await reader.readexactly(size), tcp=True)
            if wire is not None:
                writer.write(len(wire).to_bytes(2, "big") + wire)
                await writer.drain()
        finally:
            writer.close()

    tcp_socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    tcp_socket.bind(("127.0.0.1", 0))
    server.port = tcp_socket.getsockname()[1]
    tcp = await asyncio.start_server(serve_tcp, sock=tcp_socket)
    loop = asyncio.get_running_loop()
    udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(server), local_addr=("127.0.0.1", server.port))
    try:
        yield server
    finally:
        udp.close()
        tcp.close()
        await tcp.wait_closed()
