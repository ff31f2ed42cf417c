"""The table, and what limits the figures."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench.rounds import AGAIN, ALL_HOURS, CLIENT, CLIENT_AGAIN, COPY, FILL, PLAIN, UPSERT, UPSERT_AGAIN, Results

HEADERS = ("what", "bars", "rows received", "seconds", "bars/s", "rows/s", "x COPY")
_NAMES = {
    FILL: "barfill, first fill",
    AGAIN: "barfill, the same again, --full",
    ALL_HOURS: "barfill, first fill, extended hours kept",
    COPY: "COPY straight into ohlc_bars",
    PLAIN: "COPY into a table with the key alone",
    UPSERT: "COPY to staging, upsert",
    UPSERT_AGAIN: "COPY to staging, upsert, again",
    CLIENT: "alpaca-py .df, COPY, upsert",
    CLIENT_AGAIN: "alpaca-py .df, COPY, upsert, again",
}
_BUSY = 0.75


def rendered(results: Results, *, is_markdown: bool) -> str:
    """The report as text for a terminal, or as Markdown."""
    table = _markdown if is_markdown else _plain
    blocks = [
        table(HEADERS, _timings(results)),
        table(("figure", "measured", "to reach"), _figures(results)),
        table(("phase, one chain at a time", "seconds", "share"), _phases(results)),
        "\n".join(_limits(results)),
    ]
    return "\n\n".join(blocks)


def _timings(results: Results) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for contestant, name in _NAMES.items():
        timings = [one[contestant] for one in results.rounds]
        seconds, one = median(timing.seconds for timing in timings), timings[0]
        rows.append(
            (
                name,
                f"{one.bars:,}",
                f"{one.rows:,}" if one.rows else "",
                f"{seconds:.2f}",
                f"{one.bars / seconds:,.0f}",
                f"{one.rows / seconds:,.0f}" if one.rows else "",
                f"{results.ratio(contestant, COPY):.2f}",
            )
        )
    return rows


def _figures(results: Results) -> list[tuple[str, ...]]:
    timing = results.rounds[0][FILL]
    by_row = results.ratio(FILL, COPY) * timing.rows / timing.bars
    fill, shares = results.fill, _shares(results)
    client = results.ratio(FILL, CLIENT) * timing.rows / timing.bars
    return [
        ("first fill, bars stored, x COPY straight in", f"{results.ratio(FILL, COPY):.2f}", ">= 0.60"),
        ("first fill, rows received, x COPY straight in", f"{by_row:.2f}", ""),
        ("first fill, every row stored, x COPY straight in", f"{results.ratio(ALL_HOURS, COPY):.2f}", ">= 0.60"),
        ("first fill x COPY to staging, upsert", f"{results.ratio(FILL, UPSERT):.2f}", ""),
        ("the same again x first fill", f"{results.ratio(AGAIN, FILL):.2f}", ">= 1.50"),
        ("the same again x upsert again", f"{results.ratio(AGAIN, UPSERT_AGAIN):.2f}", ""),
        ("rows received x alpaca-py, COPY, upsert", f"{client:.1f}", ""),
        ("checks and ledger, share of the time", f"{shares['checks'] + shares['ledger']:.1%}", "<= 15 %"),
        ("peak memory", f"{results.peak_mb:.0f} MB", "<= 400 MB"),
        ("API calls, made / least possible", f"{fill['calls_made']} / {fill['calls_least']}", "<= 1.05 x"),
    ]


def _phases(results: Results) -> list[tuple[str, ...]]:
    shares = _shares(results)
    return [(name, f"{seconds:.2f}", f"{shares[name]:.1%}") for name, seconds in results.one_chain["phases"].items()]


def _shares(results: Results) -> dict[str, float]:
    phases = results.one_chain["phases"]
    return {name: seconds / sum(phases.values()) for name, seconds in phases.items()}


def _limits(results: Results) -> list[str]:
    fill, shares = results.fill, _shares(results)
    busy = fill["cpu_seconds"] / fill["seconds"]
    rows = fill["rows_received"]
    largest = max(shares, key=lambda name: shares[name])
    what = (
        "its own Python process, which cannot use more than one core"
        if busy >= _BUSY
        else "waiting for the server, the exchange or, on a busy machine, a core"
    )
    return [
        f"What limits the first fill: {what} (busy {busy:.0%} of the time, {1e6 * fill['cpu_seconds'] / rows:.1f} us",
        f"a row received). One chain at a time, most goes to '{largest}' ({shares[largest]:.0%}).",
        f"{rows - results.rounds[0][FILL].bars:,} of {rows:,} rows received lie outside of regular hours: not stored.",
    ]


def _plain(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    lines = [headers, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            text.ljust(width) if position == 0 else text.rjust(width)
            for position, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
