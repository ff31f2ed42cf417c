"""`Range` and `Ranges` to and from PostgreSQL's tstzrange and tstzmultirange, and instants always in UTC."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from functools import lru_cache

import psycopg
from psycopg.adapt import AdaptersMap, Buffer, Dumper, Loader
from psycopg.pq import Format

from barfill.core.ranges import Range, Ranges, from_us

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 UTC, from which PostgreSQL counts, in microseconds since 1970."""

_INT32 = struct.Struct("!i")
_INT64 = struct.Struct("!q")
_EMPTY, _LOWER_INCLUDED, _UPPER_INCLUDED, _LOWER_INFINITE, _UPPER_INFINITE = 0x01, 0x02, 0x04, 0x08, 0x10
_KNOWN_TEXTS = 4096


def register_ranges(adapters: AdaptersMap) -> None:
    """Makes a connection speak our ranges. Results must be asked for in binary; instants may come in either form."""
    adapters.register_dumper(Range, _RangeDumper)
    adapters.register_dumper(Ranges, _RangesDumper)
    adapters.register_loader("tstzrange", _RangeLoader)
    adapters.register_loader("tstzmultirange", _RangesLoader)
    adapters.register_loader("timestamptz", _InstantTextLoader)
    adapters.register_loader("timestamptz", _InstantLoader)


class _RangeDumper(Dumper):
    oid = psycopg.postgres.types["tstzrange"].oid

    def dump(self, obj: Range) -> bytes:
        return _range_text(obj).encode()


class _RangesDumper(Dumper):
    oid = psycopg.postgres.types["tstzmultirange"].oid

    def dump(self, obj: Ranges) -> bytes:
        return ("{" + ",".join(map(_range_text, obj)) + "}").encode()


class _RangeLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> Range:
        return _parse_range(bytes(data))


class _RangesLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> Ranges:
        return _parse_ranges(bytes(data))


class _InstantLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> datetime:
        return from_us(_INT64.unpack(data)[0] + POSTGRES_EPOCH_US)


class _InstantTextLoader(Loader):
    format = Format.TEXT

    def load(self, data: Buffer) -> datetime:
        return datetime.fromisoformat(bytes(data).decode()).astimezone(UTC)


def _range_text(value: Range) -> str:
    return f"[{value.start.isoformat()},{value.end.isoformat()})"


# Thousands of series of one watchlist share a handful of coverages: each is parsed once.
@lru_cache(maxsize=_KNOWN_TEXTS)
def _parse_ranges(data: bytes) -> Ranges:
    found = []
    position = _INT32.size
    while position < len(data):
        (length,) = _INT32.unpack_from(data, position)
        position += _INT32.size
        found.append(_parse_range(data[position : position + length]))
        position += length
    return Ranges(found)


def _parse_range(data: bytes) -> Range:
    flags = data[0]
    if flags & (_EMPTY | _LOWER_INFINITE | _UPPER_INFINITE | _UPPER_INCLUDED) or not flags & _LOWER_INCLUDED:
        raise psycopg.DataError("A stored range is not bounded and half-open, as barfill writes them.")
    start, end = (from_us(_INT64.unpack_from(data, at)[0] + POSTGRES_EPOCH_US) for at in (5, 17))
    return Range(start, end)
