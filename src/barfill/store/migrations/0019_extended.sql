-- Bars outside of regular hours are flagged. A constant default is kept in the catalogue: no row is written anew, however
-- many there are, and none that is stored so far lies outside, since barfill had no setting to keep such bars.

alter table ohlc_bars add column is_extended boolean not null default false;
alter table bar_revisions add column is_extended boolean not null default false;
alter table live_revisions add column is_extended boolean not null default false;
alter type bar_as_of add attribute is_extended boolean;

create or replace view ohlc_bars_v2 as select * from ohlc_bars;

-- As before, with the flag. A bar of which only the flag changes has no other value than before: nothing is kept of it.
create or replace function keep_replaced_bar() returns trigger language plpgsql set enable_seqscan = off as $$
declare
    instant constant timestamptz := change_instant();
    told constant text := nullif(current_setting('barfill.change_reason', true), '');
    since timestamptz;
    kept bar_revisions;
    reflagged ohlc_bars;
begin
    if tg_op = 'UPDATE' then
        reflagged := old;
        reflagged.is_extended := new.is_extended;
        if reflagged is not distinct from new then
            return null;
        end if;
    end if;
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
    kept.is_extended := old.is_extended;
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

-- As before, with the flag: what the calendar says today of each bar.
create or replace function bars_as_of(as_of timestamptz) returns setof bar_as_of language sql stable as $$
    select
        stored.symbol_id, stored.timeframe, stored.ts, stored.open, stored.high, stored.low, stored.close, stored.volume,
        stored.vwap, stored.trade_count, stored.provider, stored.feed, stored.is_intraday, stored.data_status,
        stored.fetched_at, stored.created_at, stored.is_extended
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
        kept.fetched_at, kept.created_at, kept.is_extended
    from bar_revisions as kept
    where kept.believed_from <= as_of
    and kept.replaced_at > as_of
    union all
    select
        kept.symbol_id, kept.timeframe, kept.ts, kept.open, kept.high, kept.low, kept.close, kept.volume,
        kept.vwap, kept.trade_count, kept.provider, kept.feed, kept.timeframe not in ('d1', 'w1'), 'live'::text,
        kept.fetched_at, kept.created_at, kept.is_extended
    from live_revisions as kept
    where kept.believed_from <= as_of
    and kept.replaced_at > as_of
$$;
