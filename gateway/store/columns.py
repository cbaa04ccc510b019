"""Column types that write and read the same values on SQLite and PostgreSQL."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Dialect, Text, TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_MICROSECOND = timedelta(microseconds=1)
_MAX_KEY = 1000
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def scrub(text: str) -> str:
    """The text as both databases can keep it: NUL and lone surrogates become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def _scrub_value(value: Any) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {scrub(str(key)): _scrub_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrub_value(item) for item in value]
    return value


class Words(TypeDecorator[str]):
    """Text, cleaned by :func:`scrub`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else scrub(value)


class Key(TypeDecorator[str]):
    """Text that is indexed. Beyond 1000 octets it is kept as its digest: PostgreSQL cannot index long values.

    Strangers choose Message-IDs and addresses, so a limit that fails would let them stop their own mail for ever.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        value = scrub(value)
        if len(value) <= _MAX_KEY // 4 or len(octets := value.encode()) <= _MAX_KEY:
            return value
        return "sha256:" + hashlib.sha256(octets).hexdigest()


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept as microseconds since 1970; read back in UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


class Json(TypeDecorator[Any]):
    """A value msgspec can encode (dataclasses included), kept as JSON text; read back as builtins."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return msgspec.json.encode(_scrub_value(msgspec.to_builtins(value))).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value)
