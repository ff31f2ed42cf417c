-- A week is behind once the next one has begun: its last day comes hours after the last close, and its bar with it.
create or replace view backfill_status as
select
    series.symbol_id,
    symbols.ticker,
    series.timeframe,
    series.oldest_ts,
    series.newest_ts,
    series.bar_count,
    (now() at time zone 'UTC')::date - (series.newest_ts at time zone 'UTC')::date as days_behind,
    case when series.newest_ts is not null then
        (
            select count(*)::integer
            from sessions
            where sessions.calendar = symbols.calendar
            and sessions.closes_at <= now()
            and sessions.session_on > (series.newest_ts at time zone 'UTC')::date
                + case when series.timeframe = 'w1' then 6 else 0 end
            and (
                series.timeframe <> 'w1'
                or date_trunc('week', sessions.session_on)::date + 7 <= (now() at time zone 'UTC')::date
            )
        )
    end as sessions_behind,
    series.last_run_at,
    series.last_result,
    series.last_error_code,
    series.last_error
from series
join symbols on symbols.id = series.symbol_id;
