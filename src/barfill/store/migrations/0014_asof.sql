-- What was stored when: each value of a bar that another took the place of, or that was taken out, with the time for
-- which it stood, whatever program or person did it. So the bars of any earlier instant can be read again.

-- The predecessors of final bars. They stood from believed_from up to, not including, replaced_at, by the database's clock.
alter table bar_revisions
    add column believed_from timestamptz,
    add column created_at timestamptz,
    add column replaced_by text,
    add column reason text not null default 'corrected';

update bar_revisions
set
    believed_from = least(found.believed_from, bar_revisions.replaced_at),
    created_at = least(found.created_at, bar_revisions.replaced_at),
    replaced_by = found.replaced_by
from (
    select
        kept.ctid as place,
        coalesce(lag(kept.replaced_at) over following, stored.created_at, kept.fetched_at) as believed_from,
        coalesce(stored.created_at, kept.fetched_at) as created_at,
        coalesce(lead(kept.provider) over following, stored.provider) as replaced_by
    from bar_revisions as kept
    left join ohlc_bars as stored using (symbol_id, timeframe, ts)
    window following as (partition by kept.symbol_id, kept.timeframe, kept.ts order by kept.replaced_at)
) as found
where bar_revisions.ctid = found.place;

alter table bar_revisions
    alter column believed_from set not null,
    alter column created_at set not null,
    alter column reason drop default,
    alter column replaced_at drop default;

create index bar_revisions_by_change on bar_revisions (replaced_at);

-- The same of live bars: many, of little use later on, and so apart, where they can be deleted without touching the others.
create table live_revisions (like bar_revisions including defaults);

create index live_revisions_by_bar on live_revisions (symbol_id, timeframe, ts);
create index live_revisions_by_change on live_revisions (replaced_at);

-- The instant of all changes of this transaction. One for all, so that no reader of the past sees half of them; taken
-- when the first is made, which is after the locks, so that of two writers the later one has the later instant.
create function change_instant() returns timestamptz language plpgsql as $$
declare
    told constant text := current_setting('barfill.changed_us', true);
    instant timestamptz;
begin
    if told <> '' then
        return timestamptz 'epoch' + told::bigint * interval '1 microsecond';
    end if;
    instant := clock_timestamp();
    perform set_config('barfill.changed_us', (extract(epoch from instant) * 1000000)::bigint::text, true);
    return instant;
end $$;

-- What the rest of the transaction changes, it changes for this reason; the instant of the changes.
create function begin_change(reason text, run_id bigint default null) returns timestamptz language plpgsql as $$
begin
    perform set_config('barfill.change_reason', reason, true),
            set_config('barfill.change_run_id', coalesce(run_id::text, ''), true);
    return change_instant();
end $$;

-- Its plans are made while the revisions are few and kept while they grow: reading all of them for each row must never
-- look cheap.
create function keep_replaced_bar() returns trigger language plpgsql set enable_seqscan = off as $$
declare
    instant constant timestamptz := change_instant();
    told constant text := nullif(current_setting('barfill.change_reason', true), '');
    since timestamptz;
    kept bar_revisions;
begin
    select greatest(
        old.created_at,
        (
            select max(replaced_at)
            from bar_revisions
            where symbol_id = old.symbol_id and timeframe = old.timeframe and ts = old.ts
        ),
        (
            select max(replaced_at)
            from live_revisions
            where symbol_id = old.symbol_id and timeframe = old.timeframe and ts = old.ts
        )
    ) into since;
    if since = instant then
        return null;  -- a value of this very transaction: nobody has seen it
    end if;
    kept.symbol_id := old.symbol_id;
    kept.timeframe := old.timeframe;
    kept.ts := old.ts;
    kept.open := old.open;
    kept.high := old.high;
    kept.low := old.low;
    kept.close := old.close;
    kept.volume := old.volume;
    kept.vwap := old.vwap;
    kept.trade_count := old.trade_count;
    kept.provider := old.provider;
    kept.feed := old.feed;
    kept.fetched_at := old.fetched_at;
    kept.created_at := old.created_at;
    kept.believed_from := since;
    kept.replaced_at := greatest(instant, since);  -- also where the server's clock was put back meanwhile
    kept.run_id := nullif(current_setting('barfill.change_run_id', true), '')::bigint;
    if tg_op = 'UPDATE' then
        kept.replaced_by := new.provider;
        kept.reason := coalesce(told, 'changed');
    else
        kept.reason := coalesce(told, 'removed');
    end if;
    if old.data_status = 'final' then
        insert into bar_revisions select kept.*;
        return null;
    end if;
    kept.reason := case
        when tg_op = 'DELETE' then 'expired'
        when new.data_status = 'final' then 'final'
        else 'forming'
    end;
    insert into live_revisions select kept.*;
    return null;
end $$;

-- By row and on every partition, so that nothing gets around it but `truncate` and dropping a partition.
create trigger keep_updated after update on ohlc_bars
for each row when (old.* is distinct from new.*) execute function keep_replaced_bar();

create trigger keep_deleted after delete on ohlc_bars
for each row execute function keep_replaced_bar();

-- A type of its own, for the collation of the timeframes: without it no condition on them reaches an index.
create type bar_as_of as (
    symbol_id integer,
    timeframe text collate "C",
    ts timestamptz,
    open double precision,
    high double precision,
    low double precision,
    close double precision,
    volume double precision,
    vwap double precision,
    trade_count bigint,
    provider text,
    feed text,
    is_intraday boolean,
    data_status text,
    fetched_at timestamptz,
    created_at timestamptz
);

-- All bars as a reader saw them at an instant. Conditions on symbol_id, timeframe and ts reach the indexes.
create function bars_as_of(as_of timestamptz) returns setof bar_as_of language sql stable as $$
    select
        stored.symbol_id, stored.timeframe, stored.ts, stored.open, stored.high, stored.low, stored.close, stored.volume,
        stored.vwap, stored.trade_count, stored.provider, stored.feed, stored.is_intraday, stored.data_status,
        stored.fetched_at, stored.created_at
    from ohlc_bars as stored
    where stored.created_at <= as_of
    and not exists (
        select
        from bar_revisions as kept
        where kept.symbol_id = stored.symbol_id
        and kept.timeframe = stored.timeframe
        and kept.ts = stored.ts
        and kept.replaced_at > as_of
    )
    and not exists (
        select
        from live_revisions as kept
        where kept.symbol_id = stored.symbol_id
        and kept.timeframe = stored.timeframe
        and kept.ts = stored.ts
        and kept.replaced_at > as_of
    )
    union all
    select
        kept.symbol_id, kept.timeframe, kept.ts, kept.open, kept.high, kept.low, kept.close, kept.volume,
        kept.vwap, kept.trade_count, kept.provider, kept.feed, kept.timeframe not in ('d1', 'w1'), 'final'::text,
        kept.fetched_at, kept.created_at
    from bar_revisions as kept
    where kept.believed_from <= as_of
    and kept.replaced_at > as_of
    union all
    select
        kept.symbol_id, kept.timeframe, kept.ts, kept.open, kept.high, kept.low, kept.close, kept.volume,
        kept.vwap, kept.trade_count, kept.provider, kept.feed, kept.timeframe not in ('d1', 'w1'), 'live'::text,
        kept.fetched_at, kept.created_at
    from live_revisions as kept
    where kept.believed_from <= as_of
    and kept.replaced_at > as_of
$$;

-- What became of final bars: the old values, and beside them those that came in their place (null: the bar was taken out).
-- Warning W05 is an alarm where a price moved by more than 0.01 % or the volume by more than 0.5 %.
create view bar_changes as
select
    symbols.ticker as symbol,
    kept.timeframe,
    kept.ts,
    kept.replaced_at as changed_at,
    kept.believed_from,
    kept.reason,
    kept.provider as old_provider,
    kept.replaced_by as new_provider,
    kept.open as old_open,
    kept.high as old_high,
    kept.low as old_low,
    kept.close as old_close,
    kept.volume as old_volume,
    kept.vwap as old_vwap,
    kept.trade_count as old_trade_count,
    successor.open as new_open,
    successor.high as new_high,
    successor.low as new_low,
    successor.close as new_close,
    successor.volume as new_volume,
    successor.vwap as new_vwap,
    successor.trade_count as new_trade_count,
    coalesce(
        abs(successor.open - kept.open) > 1e-4 * abs(kept.open)
        or abs(successor.high - kept.high) > 1e-4 * abs(kept.high)
        or abs(successor.low - kept.low) > 1e-4 * abs(kept.low)
        or abs(successor.close - kept.close) > 1e-4 * abs(kept.close)
        or abs(successor.volume - kept.volume) > 5e-3 * kept.volume,
        false
    ) as is_alarm,
    kept.run_id,
    kept.symbol_id
from bar_revisions as kept
join symbols on symbols.id = kept.symbol_id
left join lateral (
    select told.*
    from (
        select 1 as rank, later.open, later.high, later.low, later.close, later.volume, later.vwap, later.trade_count
        from bar_revisions as later
        where later.symbol_id = kept.symbol_id
        and later.timeframe = kept.timeframe
        and later.ts = kept.ts
        and later.believed_from = kept.replaced_at
        and later.replaced_at > kept.replaced_at
        union all
        select 2, stored.open, stored.high, stored.low, stored.close, stored.volume, stored.vwap, stored.trade_count
        from ohlc_bars as stored
        where stored.symbol_id = kept.symbol_id
        and stored.timeframe = kept.timeframe
        and stored.ts = kept.ts
    ) as told
    order by told.rank
    limit 1
) as successor on kept.replaced_by is not null;
