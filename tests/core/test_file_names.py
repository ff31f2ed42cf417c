"""File names of series: safe everywhere, and never the same for two."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barfill.core.file_names import series_file_name
from barfill.core.ticker import is_ticker
from barfill.core.timeframe import Timeframe

tickers = st.from_regex(re.compile(r"[A-Z0-9][A-Z0-9.\-/:^]{0,19}"), fullmatch=True).filter(is_ticker)
DEVICES = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\.|$)", re.IGNORECASE)


@pytest.mark.parametrize(
    ("ticker", "name"),
    [
        ("AAPL", "AAPL_h1.parquet"),
        ("BRK.B", "BRK.B_h1.parquet"),
        ("BTC/USD", "BTC%2FUSD_h1.parquet"),
        ("X:BTCUSD", "X%3ABTCUSD_h1.parquet"),
        ("CON", "CON_h1.parquet"),
        ("CON.A", "CON%2EA_h1.parquet"),
        ("A/../../X", "A%2F..%2F..%2FX_h1.parquet"),
    ],
)
def test_names_are_as_documented(ticker: str, name: str) -> None:
    """Letters, digits, dots and hyphens stay; the rest is written as in URLs."""
    assert series_file_name(ticker, Timeframe.H1, "parquet") == name


@given(ticker=tickers, other=tickers, timeframe=st.sampled_from(Timeframe), another=st.sampled_from(Timeframe))
def test_every_ticker_has_a_safe_name_of_its_own(
    ticker: str, other: str, timeframe: Timeframe, another: Timeframe
) -> None:
    """X09: one part, no device of Windows, nothing that a file system refuses; two series never share one."""
    name = series_file_name(ticker, timeframe, "csv")

    assert PurePosixPath(name).name == PureWindowsPath(name).name == name
    assert re.fullmatch(r"[A-Za-z0-9.%_\-]{1,80}", name)
    assert not name.startswith(".")
    assert not DEVICES.match(name)
    if (ticker, timeframe) != (other, another):
        assert name.lower() != series_file_name(other, another, "csv").lower()
