"""The cage's pipe: length-prefixed msgpack frames of frozen values. Data only, never pickle."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import msgspec

from gateway.analysis.reading_rules import Rules
from gateway.model import DnsAnswer, Envelope, Findings, Message, Said

MAX_ANSWER = 64 * 1024 * 1024
"""Largest answer of a child in bytes (security.md 11.2); a longer one is hostile."""

LENGTH = struct.Struct("!I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First frame to a child: what it must know before it locks itself in."""

    rules: Rules
    memory: int
    cpu_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One mail to read; ``only_authentication`` when the rest is known already.

    With ``known`` only the text of ``message``, read before, is to be taken apart beside what had been said. With
    ``only_files`` nothing but the files are wanted.
    """

    raw: bytes
    envelope: Envelope
    message: Message | None = None
    known: tuple[Said, ...] = ()
    records: dict[str, DnsAnswer] = field(default_factory=dict)
    only_authentication: bool = False
    only_files: bool = False


_encoder = msgspec.msgpack.Encoder()
_hello = msgspec.msgpack.Decoder(Hello)
_request = msgspec.msgpack.Decoder(Request)
_findings = msgspec.msgpack.Decoder(Findings)


def frame(value: Hello | Request | Findings) -> bytes:
    """The value as one frame, length first."""
    data = _encoder.encode(value)
    return LENGTH.pack(len(data)) + data


def read_hello(data: bytes) -> Hello:
    return _hello.decode(data)


def read_request(data: bytes) -> Request:
    return _request.decode(data)


def read_findings(data: bytes) -> Findings:
    """Raises msgspec.DecodeError when the answer is not what a child of ours says."""
    return _findings.decode(data)
