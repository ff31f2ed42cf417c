"""
What a file is, told by its content: Parquet, or CSV, compressed by gzip or not; and its rows as they are, in batches.

The columns of CSV stay texts: what is a number and what is a ticker (`NA`, `TRUE`, `1E5`) is decided by what a column
is for, never by how its values look.
"""

from __future__ import annotations

import csv
import gzip
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from barfill.errors import InvalidInput, excerpt

BATCH_ROWS = 50_000
"""Of what is in memory at a time."""
DELIMITERS = (",", ";", "\t", "|")
_HEADER_BYTES_MAX = 1 << 20
_GZIP, _PARQUET, _UTF_16 = b"\x1f\x8b", b"PAR1", (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class BarFile:
    """
    A file that can be read.

    Attributes:
        path: As it was named.
        content: Where its rows are read: another file where it had to be decompressed.
        kind: `csv` or `parquet`.
        headers: Its columns in their order.
        delimiter: Of CSV, else "".
        skipped_lines: Of CSV, those up to the end of the header.
    """

    path: Path
    content: Path
    kind: str
    headers: tuple[str, ...]
    delimiter: str = ""
    skipped_lines: int = 0

    def batches(self, columns: tuple[str, ...], *, rows_max: int | None = None) -> Iterator[pl.DataFrame]:
        """
        The rows in the order of the file, *columns* of them.

        Args:
            rows_max: No more than the first ones.

        Raises:
            InvalidInput: The file breaks off, or lines hold more values than the header names.
        """
        with _told(self.path):
            frame = self._scan().select(columns)
            if rows_max is not None:
                frame = frame.head(rows_max)
            yield from frame.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True, engine="streaming")

    def _scan(self) -> pl.LazyFrame:
        if self.kind == "parquet":
            return pl.scan_parquet(self.content, glob=False)
        return pl.scan_csv(
            self.content,
            has_header=False,
            skip_lines=self.skipped_lines,
            schema=dict.fromkeys(self.headers, pl.String),
            separator=self.delimiter,
            encoding="utf8-lossy",
            glob=False,
        )


def open_file(path: Path, delimiter: str | None, directory: Path) -> BarFile:
    """
    The file at *path*.

    Args:
        delimiter: Of CSV; None takes the one that its header holds.
        directory: Where it may be decompressed to.

    Raises:
        InvalidInput: It is not there, or nothing that can be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    content = path
    if start.startswith(_GZIP):
        content = _decompressed(path, directory)
        with content.open("rb") as file:
            start = file.read(4)
    if start == _PARQUET:
        with _told(path):
            headers = tuple(pl.scan_parquet(content, glob=False).collect_schema().names())
        return BarFile(path, content, "parquet", headers)
    if start.startswith(_UTF_16):
        raise InvalidInput(f"{str(path)!r} is UTF-16. Save it as UTF-8, or: iconv -f UTF-16 -t UTF-8 FILE > NEW")
    return _csv(path, content, delimiter)


def _csv(path: Path, content: Path, delimiter: str | None) -> BarFile:
    with content.open("rb") as file:
        head = file.read(_HEADER_BYTES_MAX)
    lines = head.split(b"\n")
    number = next((position for position, line in enumerate(lines) if line.strip(b"\xef\xbb\xbf\r ")), None)
    if number is None:
        raise InvalidInput(f"{str(path)!r} is empty.")
    header = lines[number].decode("utf-8-sig", "replace").strip("\r")
    if "\0" in header:
        raise InvalidInput(f"{str(path)!r} is neither CSV nor Parquet: it begins with {excerpt(header[:40])!r}.")
    separator = _delimiter(path, header, delimiter)
    headers = tuple(one.strip().strip("<>") for one in next(csv.reader([header], delimiter=separator)))
    if all(_is_number(name) for name in headers[1:]):
        raise InvalidInput(
            f"{str(path)!r} has no header: its first line is {excerpt(header[:80])!r}. Put one before it that names "
            "the columns, such as: ts,open,high,low,close,volume"
        )
    twice = next((name for name in headers if headers.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"{str(path)!r} has two columns {twice[:40]!r}. Give them different names.")
    return BarFile(path, content, "csv", headers, separator, number + 1)


def _delimiter(path: Path, header: str, given: str | None) -> str:
    if given is not None:
        return given
    present = [sign for sign in DELIMITERS if sign in header]
    if len(present) > 1:
        raise InvalidInput(
            f"The header of {str(path)!r} holds {' and '.join(map(repr, present))}: {excerpt(header[:80])!r}. Say "
            f"which of them stands between the columns: --delimiter {present[0]!r}"
        )
    if not present:
        raise InvalidInput(
            f"{str(path)!r} is neither Parquet nor CSV with a header: its first line is {excerpt(header[:80])!r}."
        )
    return present[0]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _decompressed(path: Path, directory: Path) -> Path:
    content = directory / f"{len(list(directory.iterdir()))}-{path.stem}"
    try:
        with gzip.open(path, "rb") as packed, content.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    except (OSError, EOFError) as error:
        raise InvalidInput(f"{str(path)!r} cannot be decompressed: {error}. Fetch it anew.") from error
    return content


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What Polars cannot read, as an error that names the file."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        raise InvalidInput(
            f"{str(path)!r} cannot be read: {excerpt(str(error).splitlines()[0])}. A line with more values than the "
            "header names columns, or a file that was cut off, is refused whole: correct it, or fetch it anew."
        ) from error
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
