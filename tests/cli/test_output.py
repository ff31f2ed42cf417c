"""What commands print: neutral texts, honest percentages, shortened matrices, safe CSV."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from barfill.cli.matrix import ROWS_MAX, cell, legend, shown_rows
from barfill.cli.progress import LiveProgress, PlainProgress, plan_line
from barfill.cli.sql import neutralised
from barfill.cli.terminal import clean, counted, shown_bytes, shown_duration
from barfill.core.timeframe import Timeframe
from barfill.engine.events import PageWritten, PlanEstimate
from barfill.engine.report import SeriesState


def state(present: int, expected: int = 10_000, ticker: str = "AAPL", *, has_failed: bool = False) -> SeriesState:
    return SeriesState(ticker, Timeframe.D1, expected, present, 0, has_failed)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\r\nb", r"a\r\nb"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x9b2J", r"\x9b2J"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("[bold]Nestl\u00e9[/bold]", "[bold]Nestl\u00e9[/bold]"),
    ],
)
def test_texts_from_outside_cannot_steer_the_terminal(text: str, shown: str) -> None:
    """X11: control and direction characters are written out, letters stay."""
    assert clean(text) == shown


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "@x", "-2", "\t=1", "\r=1"])
def test_a_text_that_a_spreadsheet_would_run_gets_a_quote(text: str) -> None:
    """X11: in CSV it arrives as text."""
    assert neutralised(text) == "'" + text


@pytest.mark.parametrize("value", [-1.5, -2, None, "AAPL", "BRK.B", ""])
def test_numbers_and_plain_texts_stay_as_they_are_in_csv(value: object) -> None:
    """A negative number is a number."""
    assert neutralised(value) == value


def test_a_cell_is_a_tick_a_cross_or_a_percentage() -> None:
    """A point stands for what was not asked for."""
    cells = [cell(state(10_000)), cell(state(0)), cell(state(9_999)), cell(state(1)), cell(state(0, 0)), cell(None)]

    assert cells == ["✓", "✗", "99%", "<1%", "✓", "·"]


def test_a_series_of_which_no_bar_is_to_be_had_is_no_tick() -> None:
    """Before a listing, say: a dash, which the legend explains where it occurs."""
    settled = SeriesState("AAPL", Timeframe.D1, 0, 0, 252, has_failed=False)

    assert cell(settled) == "–"  # noqa: RUF001
    assert "none to be had" in legend({"AAPL": {Timeframe.D1: settled}})
    assert "none to be had" not in legend({"AAPL": {Timeframe.D1: state(10_000)}})


def test_a_failed_series_shows_a_cross_beside_its_percentage() -> None:
    """Even a full one whose last request failed is no tick."""
    assert cell(state(5_000, has_failed=True)) == "✗ 50%"
    assert cell(state(10_000, has_failed=True)) == "✗ 100%"


def test_a_matrix_of_few_symbols_is_shown_whole() -> None:
    """Up to forty rows fit a screen."""
    rows, left_out = shown_rows([state(10_000, ticker=f"S{number}") for number in range(ROWS_MAX)])

    assert (len(rows), left_out) == (ROWS_MAX, "")


def test_a_matrix_of_many_symbols_shows_the_incomplete_ones() -> None:
    """The line below counts what is left out."""
    states = [state(10_000 - (number < 50), ticker=f"S{number:04}") for number in range(5_000)]

    rows, left_out = shown_rows(states)

    assert len(rows) == ROWS_MAX
    assert left_out == "4,950 complete symbols not shown, 10 more incomplete: barfill status --json"


def test_figures_are_shown_in_units_that_fit() -> None:
    """Plurals, sizes and durations as people write them."""
    assert [counted(1, "gap"), counted(1_204, "gap")] == ["1 gap", "1,204 gaps"]
    assert [shown_bytes(999), shown_bytes(3_400_000)] == ["999 B", "3.4 MB"]
    assert [shown_duration(3.21), shown_duration(250), shown_duration(7_500)] == ["3.2 s", "4 min 10 s", "2 h 5 min"]


def test_a_plan_is_told_in_one_line() -> None:
    """What is fetched, what is derived, how long it takes."""
    estimate = PlanEstimate(
        slices=3,
        calls=45,
        minutes=4.0,
        rows=450_000,
        bars=200_000,
        bytes_stored=20_000_000,
        by_timeframe={Timeframe.M1: 44, Timeframe.D1: 1},
        derived={Timeframe.M5: (Timeframe.M1,), Timeframe.H1: (Timeframe.M1,), Timeframe.W1: (Timeframe.D1,)},
        resumed=1,
    )

    assert plan_line(estimate) == (
        "about 45 calls (1m: 44, 1d: 1), 5m, 1h from 1m, 1w from 1d derived, 200,000 bars, "
        "4 min 0 s at the rate limit, 1 part of an interrupted backfill is gone on with"
    )


def test_plain_progress_goes_to_stderr_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Files and cron get lines, stdout stays free for results."""
    with PlainProgress() as progress:
        progress.stage(1, "fetching", 1_000)
        progress.note("added 1 symbol: \x1b[2JEVIL")
        progress.waiting(0.2, "the rate limit")
        progress.waiting(12.0, "the rate limit")

    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.splitlines() == [
        "1 Fetching: 1,000 expected bars",
        r"  added 1 symbol: \x1b[2JEVIL",
        "  waiting 12 s: the rate limit",
    ]


NOTHING = PlanEstimate(
    slices=0,
    calls=0,
    minutes=0,
    rows=0,
    bars=0,
    bytes_stored=0,
    by_timeframe={},
    derived={Timeframe.H1: (Timeframe.M1,)},
)


def test_a_plan_of_nothing_does_not_claim_that_all_is_covered() -> None:
    """Gaps may only not be due yet, others may be at it; a weekend has no sessions at all."""
    later = replace(NOTHING, gaps_not_due=3, due_at=datetime(2026, 11, 26, 20, 5, tzinfo=UTC))

    assert plan_line(NOTHING) == "nothing to fetch: all of it is covered"
    assert plan_line(later) == (
        "nothing to fetch: covered, but for 3 open gaps that are due again from 2026-11-26 20:05 UTC on"
    )
    assert plan_line(replace(NOTHING, has_others=True)) == (
        "nothing to fetch: other workers are at it (see: barfill jobs list)"
    )
    assert plan_line(NOTHING, has_sessions=False) == "no sessions in this range"


def test_a_plan_of_nothing_says_whose_bars_are_there() -> None:
    """Where one provider is named and another has brought them; else nobody has asked."""
    held = replace(NOTHING, held_from=("alpaca", "massive"))

    assert plan_line(held, asked_of="massive") == (
        "nothing to fetch: all of it is covered with bars of alpaca (barfill verify --provider massive compares them)"
    )
    assert plan_line(held) == plan_line(NOTHING, asked_of="massive") == "nothing to fetch: all of it is covered"


def drawn(progress_of: Console) -> str:
    assert isinstance(progress_of.file, io.StringIO)
    return progress_of.file.getvalue()


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, legacy_windows=False)


def page(bars: int, timeframe: Timeframe = Timeframe.M1) -> PageWritten:
    return PageWritten(1, timeframe, "AAPL", 1, bars, bars, 0, 0)


def estimate(calls: int, bars: int, days: int = 0) -> PlanEstimate:
    return PlanEstimate(
        slices=1,
        calls=calls,
        minutes=0.1,
        rows=bars,
        bars=bars,
        bytes_stored=0,
        by_timeframe={Timeframe.M1: calls},
        bars_by_timeframe={Timeframe.M1: bars - days} | ({Timeframe.D1: days} if days else {}),
        derived={Timeframe.M5: (Timeframe.M1,)},
        resumed=1,
    )


def last_line(console: Console, label: str) -> str:
    """The bar of a timeframe on the last frame."""
    return [line for line in drawn(console).splitlines() if f"  {label} " in line][-1]


def last_bar(console: Console, label: str = "1m") -> int:
    """How long it is, of 30."""
    return last_line(console, label).count("━")


@pytest.mark.parametrize("is_stopped", [True, False])
def test_bars_that_are_not_done_are_not_drawn_full(is_stopped: bool) -> None:
    """Neither where a plan took a resumed run for one page, nor on the last frame of an interrupted backfill."""
    console = terminal()
    with LiveProgress(console) as progress:
        progress.planned(estimate(1, 1_000))
        progress.stage(1, "fetching", 1_000)
        progress.page_written(page(300))
        if is_stopped:
            progress.stopping("Stopping")

    assert 0 < last_bar(console) < 30


def test_bars_are_full_when_all_came() -> None:
    """However many pages were planned."""
    console = terminal()
    with LiveProgress(console) as progress:
        progress.planned(estimate(5, 1_000))
        progress.stage(1, "fetching", 1_000)
        progress.page_written(page(1_000))

    assert last_bar(console) == 30


def test_a_timeframe_that_is_finished_has_a_full_bar_while_others_go_on() -> None:
    """Each row counts the expected bars of its timeframe, which together are those of all."""
    console = terminal()
    with LiveProgress(console) as progress:
        progress.planned(estimate(5, 1_020, days=20))
        progress.stage(1, "fetching", 1_020)
        progress.page_written(page(20, Timeframe.D1))
        progress.page_written(page(300))

    assert (last_bar(console, "1d"), last_bar(console, "1m")) == (30, 9)
    assert "20/20 bars" in last_line(console, "1d")
    assert "300/1,000 bars" in last_line(console, "1m")
    assert "320/1,020 bars" in last_line(console, "all")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_stages_without_work_are_not_told(is_terminal: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """The line on the plan says why there is nothing to do."""
    console = terminal()
    with LiveProgress(console) if is_terminal else PlainProgress() as progress:
        progress.planned(NOTHING)
        progress.stage(1, "fetching", 0)
        progress.stage(2, "gaps detected", 0)

    told = drawn(console) if is_terminal else capsys.readouterr().err
    assert told.split() == ["plan:", *plan_line(NOTHING).split()]


def test_nothing_is_drawn_after_the_sentence_on_stopping() -> None:
    """The bars stand still, so that what the terminal wrote between them cannot be drawn over."""
    console = terminal()
    with LiveProgress(console) as progress:
        progress.stage(1, "fetching", 1_000)
        progress.stopping("Stopping after the pages in hand")
        said = drawn(console)
        progress.page_written(page(500))

    assert said.splitlines()[-1].endswith("Stopping after the pages in hand")
    assert "500" not in drawn(console)[len(said) :]


def test_a_narrow_terminal_breaks_the_plan_between_words() -> None:
    """And keeps the indent."""
    console = terminal(60)
    LiveProgress(console).planned(estimate(45, 200_000))

    lines = drawn(console).splitlines()
    assert len(lines) > 1
    assert all(line.startswith("  ") and len(line) <= 60 for line in lines)
    assert " ".join(line.strip() for line in lines) == f"plan: {plan_line(estimate(45, 200_000))}"


def test_settled_bars_count_as_accounted_for_and_are_shown() -> None:
    """A star behind the tick or the percentage, and a line that says how many and why."""
    by_kind = {"no_trade": 40, "halted": 6}
    complete = SeriesState("AAPL", Timeframe.M15, 54, 54, 46, has_failed=False, settled_by_kind=by_kind)
    lacking = SeriesState("AAPL", Timeframe.H1, 54, 44, 46, has_failed=False, settled_by_kind=by_kind)
    row = {Timeframe.M15: complete, Timeframe.H1: lacking}

    assert (cell(complete), cell(lacking)) == ("✓*", "90%*")
    assert (complete.share, lacking.share) == (1.0, 0.9)
    assert legend({"AAPL": row}).endswith("* 92 bars settled: no_trade 80, halted 12")
