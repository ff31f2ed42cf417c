"""
Bodies of bounded size: compressed or not, never more than one bounded piece above the cap is held.

httpx's own decoders inflate a whole network chunk at once (64 kB can become 64 MB), so barfill reads the raw body.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

from barfill.errors import BadResponse, ProviderTimeout, excerpt

PIECE_BYTES_MAX = 1 << 20
ACCEPT_ENCODING = "gzip, deflate"

_GZIP_WBITS = 31
_ZLIB_WBITS = 15
_RAW_WBITS = -15
_DEFLATE_METHOD = 8


class BodyReader:
    """
    Collects one body.

    Args:
        encoding: The Content-Encoding header.
        bytes_max: The cap for the body as sent and as decompressed.

    Raises:
        BadResponse: The encoding is none that was asked for (`body`).
    """

    def __init__(self, encoding: str, bytes_max: int) -> None:
        self._inflate = _inflater(encoding)
        self._bytes_max = bytes_max
        self._pieces: list[bytes] = []
        self._raw_count = 0
        self._count = 0

    def feed(self, chunk: bytes) -> None:
        """
        Takes the next chunk as it came from the network.

        Raises:
            BadResponse: The cap is passed (`too_large`) or the compressed data are broken (`body`).
        """
        self._raw_count += len(chunk)
        self._check(self._raw_count)
        for piece in self._inflate.pieces(chunk):
            self._count += len(piece)
            self._check(self._count)
            self._pieces.append(piece)

    def finish(self) -> bytes:
        """
        The whole body.

        Raises:
            ProviderTimeout: The compressed data end early (`cut`).
        """
        if self._raw_count and not self._inflate.is_complete:
            raise ProviderTimeout("The answer was cut off inside its compressed data.", reason="cut")
        return b"".join(self._pieces)

    def so_far(self) -> bytes:
        """What has arrived of a body that is only read for its message."""
        return b"".join(self._pieces)

    def _check(self, count: int) -> None:
        if count > self._bytes_max:
            raise too_large(self._bytes_max)


def too_large(bytes_max: int) -> BadResponse:
    """The refusal of a body above the cap."""
    return BadResponse(
        f"The answer is larger than {bytes_max:,} bytes; the rest was not read. Ask for a smaller page.",
        reason="too_large",
    )


class _Inflate(Protocol):
    @property
    def is_complete(self) -> bool: ...

    def pieces(self, chunk: bytes) -> Iterator[bytes]: ...


class _Identity:
    is_complete = True

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk


class _Zlib:
    """gzip, zlib or raw deflate, in pieces of bounded size."""

    def __init__(self, wbits: int | None) -> None:
        self._decoder = zlib.decompressobj(wbits) if wbits is not None else None
        self._head = b""

    @property
    def is_complete(self) -> bool:
        return self._decoder is not None and self._decoder.eof

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        decoder = self._decoder or self._sniffed(chunk)
        if decoder is None:
            return
        left = self._head + chunk
        self._head = b""
        while left:
            if decoder.eof:
                raise BadResponse("The answer goes on after the end of its compressed data.", reason="body")
            try:
                piece = decoder.decompress(left, PIECE_BYTES_MAX)
            except zlib.error as error:
                raise BadResponse("The answer's compressed data are damaged.", reason="body") from error
            left = decoder.unconsumed_tail or decoder.unused_data
            yield piece

    def _sniffed(self, chunk: bytes) -> zlib._Decompress | None:
        """`deflate` means zlib by the standard and raw deflate in some servers; two bytes tell."""
        head = self._head + chunk
        if len(head) < 2:  # noqa: PLR2004
            self._head = head
            return None
        is_zlib = head[0] & 0x0F == _DEFLATE_METHOD and (head[0] << 8 | head[1]) % 31 == 0
        self._decoder = zlib.decompressobj(_ZLIB_WBITS if is_zlib else _RAW_WBITS)
        return self._decoder


def _inflater(encoding: str) -> _Inflate:
    match encoding.strip().lower():
        case "" | "identity":
            return _Identity()
        case "gzip" | "x-gzip":
            return _Zlib(_GZIP_WBITS)
        case "deflate":
            return _Zlib(None)
    raise BadResponse(
        f"The answer is encoded as '{excerpt(encoding)}'; asked for was {ACCEPT_ENCODING}.", reason="body"
    )
