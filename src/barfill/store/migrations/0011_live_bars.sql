-- Bars of the current session, kept as `live` until final ones take their place.

-- From here on a series may hold live bars: a page of final ones looks for them only where there are any.
alter table series add column live_from timestamptz;

update series
set live_from = found.live_from
from (
    select symbol_id, timeframe, min(ts) as live_from
    from ohlc_bars
    where data_status = 'live'
    group by symbol_id, timeframe
) as found
where series.symbol_id = found.symbol_id
and series.timeframe = found.timeframe;

-- A run that fetches such bars: it proves nothing.
alter table job_runs add column is_live boolean not null default false;
