"""Names of files for series: safe on every file system, and no two series share one."""

from __future__ import annotations

import re

from barfill.core.timeframe import Timeframe

_UNSAFE = re.compile(r"[^A-Z0-9.\-]")
# What Windows takes for a device, whatever follows the first dot.
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}
)


def series_file_name(ticker: str, timeframe: Timeframe, ending: str) -> str:
    """
    The name for the bars of one series, such as `AAPL_h1.parquet`, `BTC%2FUSD_m1.csv`.

    Signs of *ticker* (upper case) that some file system does not take are percent-encoded; so is the dot after what
    Windows would take for a device. The name holds no separator and cannot lead out of its folder.
    """
    name = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), ticker)
    stem, dot, rest = name.partition(".")
    if dot and (stem in _DEVICES or not stem):
        name = f"{stem}%2E{rest}"
    return f"{name}_{timeframe.value}.{ending}"
