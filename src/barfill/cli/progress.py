"""
What a running backfill shows, on stderr: bars that move on a terminal, now and then a line elsewhere.

Both are a `BackfillListener`; progress counts expected open-market bars, since nights and weekends are no work.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from barfill.cli.terminal import clean, console, counted, say, shown_duration
from barfill.core.timeframe import Timeframe
from barfill.engine.events import BackfillListener, PageWritten, PlanEstimate

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

LINE_EVERY_S = 5.0
FETCHING, DETECTED = 1, 2
DONE_FROM = 0.99
NO_SESSIONS = "no sessions in this range"


class Watcher(BackfillListener, Protocol):
    """
    A listener that holds the terminal for the length of a `with` block.

    Attributes:
        has_sessions: Whether the range that is asked for holds any; the plan says so where it holds none.
        asked_of: The one provider that is to be asked, if one is named; the plan says whose bars are there already.
    """

    has_sessions: bool
    asked_of: str | None

    def stopping(self, text: str) -> None:
        """The user wants to stop: *text* is the last that moves."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def watcher(*, is_terminal: bool) -> Watcher:
    """The one that fits where stderr goes."""
    return LiveProgress(console(to_stderr=True)) if is_terminal else PlainProgress()


def plan_line(estimate: PlanEstimate, *, has_sessions: bool = True, asked_of: str | None = None) -> str:
    """What a plan will cost, in a sentence."""
    if not has_sessions:
        return NO_SESSIONS
    if estimate.is_empty:
        return f"nothing to fetch: {_why_nothing(estimate)}{_whose(estimate, asked_of)}"
    fetched = ", ".join(f"{timeframe.label}: {calls:,}" for timeframe, calls in estimate.by_timeframe.items())
    parts = [f"about {counted(estimate.calls, 'call')}" + (f" ({fetched})" if fetched else "")]
    if estimate.derived:
        parts.append(f"{derived_line(estimate)} derived")
    parts.append(f"{estimate.bars:,} bars")
    if estimate.minutes >= 1:
        parts.append(f"{shown_duration(estimate.minutes * 60)} at the rate limit")
    if estimate.resumed:
        parts.append(resumed_line(estimate.resumed))
    return ", ".join(parts)


def derived_line(estimate: PlanEstimate) -> str:
    """What is made of what: `5m, 1h from 1m, 1w from 1d`."""
    by_sources: dict[str, list[str]] = {}
    for target, sources in estimate.derived.items():
        named = " and ".join(source.label for source in sources)
        by_sources.setdefault(named, []).append(target.label)
    return ", ".join(f"{', '.join(targets)} from {named}" for named, targets in by_sources.items())


def resumed_line(parts: int) -> str:
    """What is done with the runs that an earlier backfill left unfinished."""
    return f"{counted(parts, 'part')} of an interrupted backfill {'is' if parts == 1 else 'are'} gone on with"


def _why_nothing(estimate: PlanEstimate) -> str:
    if estimate.has_others:
        return "other workers are at it (see: barfill jobs list)"
    if estimate.due_at is None:
        return "all of it is covered"
    gaps, are = counted(estimate.gaps_not_due, "open gap"), "is" if estimate.gaps_not_due == 1 else "are"
    return f"covered, but for {gaps} that {are} due again from {estimate.due_at:%Y-%m-%d %H:%M} UTC on"


def _whose(estimate: PlanEstimate, asked_of: str | None) -> str:
    """That what is there is another's than who was named, who may have other values."""
    others = [name for name in estimate.held_from if name != asked_of]
    if asked_of is None or not others or estimate.has_others:
        return ""
    return f" with bars of {', '.join(others)} (barfill verify --provider {asked_of} compares them)"


class _Counters:
    """What was counted so far, of all stages and of this one."""

    def __init__(self) -> None:
        self.calls = 0
        self.bars = 0
        self.total_bars = 0
        self.bars_by_timeframe: Counter[Timeframe] = Counter()

    def begin(self, total_bars: int) -> None:
        self.bars, self.total_bars = 0, total_bars

    def add(self, page: PageWritten) -> None:
        self.calls += 1
        self.bars += page.expected_bars
        self.bars_by_timeframe[page.timeframe] += page.expected_bars

    @property
    def is_done(self) -> bool:
        """Whether the bars of the stage came."""
        return is_done(self.bars, self.total_bars)

    @property
    def share(self) -> float:
        return min(1.0, self.bars / self.total_bars) if self.total_bars else 1.0


class PlainProgress:
    """Lines for files, pipes and cron: one per stage, one every few seconds, every note."""

    def __init__(self) -> None:
        self.has_sessions = True
        self.asked_of: str | None = None
        self._counters = _Counters()
        self._is_idle = False
        self._said_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def stage(self, number: int, title: str, total_bars: int) -> None:
        """One line, where there is anything to do."""
        self._counters.begin(total_bars)
        self._said_at = time.monotonic()
        if not (self._is_idle and number in (FETCHING, DETECTED)):
            say(stage_line(number, title, total_bars))

    def planned(self, estimate: PlanEstimate) -> None:
        """One line."""
        self._is_idle = estimate.is_empty
        say(f"  plan: {plan_line(estimate, has_sessions=self.has_sessions, asked_of=self.asked_of)}")

    def page_written(self, page: PageWritten) -> None:
        """A line every few seconds."""
        self._counters.add(page)
        if time.monotonic() - self._said_at >= LINE_EVERY_S:
            self._said_at = time.monotonic()
            counters = self._counters
            say(
                f"  {counters.share:.0%}: {counters.bars:,} of {counters.total_bars:,} bars, "
                f"{counted(counters.calls, 'call')}; now {page.symbols} {page.timeframe.label}"
            )

    def waiting(self, seconds: float, reason: str) -> None:
        """A line for waits that one would notice."""
        if seconds >= LINE_EVERY_S:
            say(f"  waiting {seconds:.0f} s: {reason}")

    def note(self, text: str) -> None:
        """One line."""
        say(f"  {text}")

    def stopping(self, text: str) -> None:
        """One line."""
        self.note(text)


class LiveProgress:
    """Bars that move in place, all bars together and those of each timeframe; notes scroll by above them."""

    def __init__(self, output: Console) -> None:
        self.has_sessions = True
        self.asked_of: str | None = None
        self._console = output
        self._counters = _Counters()
        self._bars_planned: Mapping[Timeframe, int] = {}
        self._is_idle = False
        self._is_stopping = False
        self._progress: Progress | None = None
        self._total: TaskID | None = None
        self._tasks: dict[Timeframe, TaskID] = {}
        self._wait_reason = ""
        self._waiting_until = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_bars()

    def stage(self, number: int, title: str, total_bars: int) -> None:
        """Ends the bars of the stage before and begins new ones."""
        self._end_bars()
        self._counters.begin(total_bars)
        if self._is_idle and number in (FETCHING, DETECTED):
            return
        self._print(stage_line(number, title, total_bars), style="bold")
        if number == FETCHING and total_bars > 0 and not self._is_stopping:
            self._begin_bars(total_bars)
            for timeframe in self._bars_planned:
                self._task(timeframe)

    def planned(self, estimate: PlanEstimate) -> None:
        """One line, and a bar for each timeframe that is fetched."""
        self._print(f"plan: {plan_line(estimate, has_sessions=self.has_sessions, asked_of=self.asked_of)}", indent=2)
        self._bars_planned = estimate.bars_by_timeframe
        self._is_idle = estimate.is_empty

    def page_written(self, page: PageWritten) -> None:
        """Moves the bars on."""
        self._counters.add(page)
        if self._progress is None or self._total is None:
            return
        bars, total = self._counters.bars, self._counters.total_bars
        doing = self._shown(f"{page.symbols} {page.timeframe.label}")
        self._progress.update(self._total, completed=bars, done=_of_all(bars, total), doing=doing)
        task = self._task(page.timeframe)
        proved, planned = self._counters.bars_by_timeframe[page.timeframe], self._bars_planned.get(page.timeframe, 0)
        # How far an interrupted run had come is known in rounded figures.
        completed = planned if is_done(proved, planned) else proved
        self._progress.update(task, completed=completed, done=_of_all(proved, planned))

    def waiting(self, seconds: float, reason: str) -> None:
        """Beside the bars."""
        self._waiting_until = time.monotonic() + seconds
        self._wait_reason = f"waiting {seconds:.0f} s: {reason}"
        if self._progress is not None and self._total is not None and seconds >= 1:
            self._progress.update(self._total, doing=self._shown(""))

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._print(text, indent=2)

    def stopping(self, text: str) -> None:
        """The bars stay as they are now: the terminal has written its ^C beside them."""
        self._is_stopping = True
        self._end_bars()
        self.note(text)

    def _shown(self, doing: str) -> str:
        now = self._wait_reason if time.monotonic() < self._waiting_until else doing
        return clean(f"{counted(self._counters.calls, 'call')}  {now}")

    def _print(self, text: str, *, style: str = "", indent: int = 0) -> None:
        from rich.padding import Padding  # noqa: PLC0415  slow to load
        from rich.text import Text  # noqa: PLC0415

        # Not soft_wrap: rich would let the moving bars be wider than the terminal too, and lose count of their lines.
        self._console.print(Padding(Text(clean(text), style), (0, 0, 0, indent), expand=False))

    def _begin_bars(self, total_bars: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415  slow to load

        self._tasks = {}
        self._progress = Progress(
            TextColumn("  {task.description:<4}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[done]}", markup=False),
            TextColumn("{task.fields[doing]}", markup=False, style="dim"),
            console=self._console,
        )
        self._progress.start()
        self._total = self._progress.add_task("all", total=total_bars, done=_of_all(0, total_bars), doing="")

    def _task(self, timeframe: Timeframe) -> TaskID:
        assert self._progress is not None
        if timeframe not in self._tasks:
            planned = self._bars_planned.get(timeframe, 0)
            self._tasks[timeframe] = self._progress.add_task(
                timeframe.label,
                total=planned or None,  # None, where nothing was planned: the bar only moves
                done=_of_all(0, planned),
                doing="",
            )
        return self._tasks[timeframe]

    def _end_bars(self) -> None:
        if self._progress is not None:
            if self._counters.is_done:
                for task in self._progress.tasks:
                    full = task.total or task.completed or 1
                    self._progress.update(task.id, total=full, completed=full)
            self._progress.stop()
        self._progress, self._total = None, None


def is_done(bars: int, expected: int) -> bool:
    """Whether all came; how far an interrupted run had come is known in rounded figures."""
    return bars >= DONE_FROM * expected


def _of_all(bars: int, expected: int) -> str:
    """The count beside a bar; a page may prove more than a rounded plan expected."""
    return f"{bars:,}/{max(bars, expected):,} bars" if expected else f"{bars:,} bars"


def stage_line(number: int, title: str, total: int) -> str:
    """The heading of a stage; *total* counts expected bars in the first one and gaps in the second."""
    heading = f"{number} {title[:1].upper()}{title[1:]}"
    if number == FETCHING:
        return f"{heading}: {counted(total, 'expected bar')}"
    return f"{heading}: {total:,}" if number == DETECTED else heading
