"""`barfill status --quota`: how much of each provider key's rate is used, and what stands in the way of more."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from barfill.cli.terminal import ago, clean, console, counted, print_json, print_table, shown_duration

if TYPE_CHECKING:
    from rich.text import Text

    from barfill.store.database import Database
    from barfill.store.quota import Meter

_STYLES = {"open": "green", "full": "green", "probing": "yellow", "closed": "yellow", "paused": "red", "spent": "red"}
_INDENT = "  "
_WIDE = 100
"""From so many columns on, all is written out."""


def show_meters(database: Database, *, as_json: bool) -> None:
    """The quota of every key that was ever used."""
    from barfill.store.quota import read_meters  # noqa: PLC0415  slow to load

    meters = database.run(read_meters)
    if as_json:
        print_json({"quotas": [asdict(one) for one in meters]})
    elif not meters:
        click.echo("No request was sent yet. Begin with: barfill backfill AAPL MSFT")
    else:
        _show(meters, database.now())


def _show(meters: Sequence[Meter], now: datetime) -> None:
    from rich.table import Table  # noqa: PLC0415  slow to load
    from rich.text import Text  # noqa: PLC0415

    is_wide = console().width >= _WIDE
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in (
        "provider",
        "key",
        "last minute",
        "today",
        "429",
        *(("under way", "last") if is_wide else ()),
        "state",
    ):
        is_number = title in ("last minute", "today", "429", "under way")
        table.add_column(title, justify="right" if is_number else "left", no_wrap=True)
    for one in meters:
        last = ago(one.last_request_at, now) if one.last_request_at else "never"
        further = (Text(f"{one.under_way:,}"), Text(last)) if is_wide else ()
        table.add_row(
            Text(clean(one.provider)),
            Text(one.key_id),
            Text(f"{one.used:,} of {one.requests_per_minute:,}"),
            Text(f"{one.used_today:,}" + (f" of {one.day_budget:,}" if one.day_budget else "")),
            Text(f"{one.refused_today:,}", style="red" if one.refused_today else ""),
            *further,
            _state(one),
        )
    print_table(table)
    for one in meters:
        for text in (limit_sentence(one), sentence(one, now)):
            for line in textwrap.wrap(clean(text), console().width, subsequent_indent=_INDENT):
                click.echo(line)


def limit_sentence(meter: Meter) -> str:
    """That the provider allows less than is set, where it does; else ""."""
    if meter.requests_per_minute == meter.set_per_minute:
        return ""
    return (
        f"{meter.provider} {meter.key_id}: the provider allows {meter.told_per_minute:,} requests a minute, fewer "
        f"than the {meter.set_per_minute:,} that are set; all processes keep to the lower limit."
    )


def sentence(meter: Meter, now: datetime) -> str:
    """What the state of a key means, how long it lasts and what can be done; "" where there is nothing to say."""
    rest = f" for {shown_duration((meter.until - now).total_seconds())}" if meter.until and meter.until > now else ""
    said = f": {meter.reason}" if meter.reason else "."
    meaning = {
        "full": f"the minute is used up{rest}; waiting work goes on by itself.",
        "closed": f"the provider asked to wait; nothing is sent{rest}{said}",
        "probing": f"after a refusal one request tries whether the provider answers again{said}",
        "paused": f"the provider refuses the key; nothing is sent{rest or ' until a new command tries it'}{said}",
        "spent": f"today's budget of {counted(meter.day_budget or 0, 'request')} is used up{rest}.",
    }.get(meter.state)
    return f"{meter.provider} {meter.key_id}: {meaning}" if meaning else ""


def _state(one: Meter) -> Text:
    from rich.text import Text  # noqa: PLC0415  slow to load

    return Text(one.state, style=_STYLES[one.state])
