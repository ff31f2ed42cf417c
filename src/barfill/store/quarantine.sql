-- name: list_rows
-- Quarantined rows by filter, the newest bars of each series last; a null filter lets everything pass.
select
    id, symbol_id, symbol, timeframe, ts, rule, reason, raw, provider, feed, run_id, request_id, quarantined_at,
    state, decided_by, decided_at, note
from quarantine
where (%(ids)s::bigint[] is null or id = any(%(ids)s::bigint[]))
and (%(symbol_ids)s::integer[] is null or symbol_id = any(%(symbol_ids)s::integer[]))
and (%(timeframes)s::text[] is null or timeframe = any(%(timeframes)s::text[]))
and (%(rules)s::text[] is null or rule = any(%(rules)s::text[]))
and (%(states)s::text[] is null or state = any(%(states)s::text[]))
and (%(start)s::timestamptz is null or ts >= %(start)s::timestamptz)
and (%(end)s::timestamptz is null or ts < %(end)s::timestamptz)
order by symbol collate "C", array_position(array['m1', 'm5', 'm15', 'm30', 'h1', 'h4', 'd1', 'w1'], timeframe), ts, id
limit %(limit)s;

-- name: count_rows
-- The same, counted by rule and state.
select rule, state, count(*)
from quarantine
where (%(symbol_ids)s::integer[] is null or symbol_id = any(%(symbol_ids)s::integer[]))
and (%(timeframes)s::text[] is null or timeframe = any(%(timeframes)s::text[]))
and (%(rules)s::text[] is null or rule = any(%(rules)s::text[]))
and (%(start)s::timestamptz is null or ts >= %(start)s::timestamptz)
and (%(end)s::timestamptz is null or ts < %(end)s::timestamptz)
group by rule, state
order by rule, state;

-- name: history
-- What was decided about a row, the oldest first.
select decision, decided_by, decided_at, note, undone_by, undone_at
from quarantine_decisions
where quarantined_id = %(id)s
order by id;

-- name: neighbours
-- The stored bars before, at and after an instant, in time order.
(
    select ts, open, high, low, close, volume, provider, data_status
    from ohlc_bars
    where symbol_id = %(symbol_id)s and timeframe = %(timeframe)s and ts < %(ts)s
    order by ts desc
    limit %(each)s
)
union all
(
    select ts, open, high, low, close, volume, provider, data_status
    from ohlc_bars
    where symbol_id = %(symbol_id)s and timeframe = %(timeframe)s and ts >= %(ts)s
    order by ts
    limit %(each)s + 1
)
order by ts;

-- name: lock
-- The series against its other writers, and what must be known of it.
select
    feed,
    basis,
    covered,
    (extract(epoch from oldest_ts) * 1000000)::bigint as oldest_us,
    (extract(epoch from newest_ts) * 1000000)::bigint as newest_us
from series
where symbol_id = %(symbol_id)s
and timeframe = %(timeframe)s
for update;

-- name: stored
-- Final bars as they are stored, whole, so that they can take their place again.
select ts, to_jsonb(ohlc_bars)
from ohlc_bars
where symbol_id = %(symbol_id)s
and timeframe = %(timeframe)s
and ts = any(%(starts)s::timestamptz[])
and data_status = 'final';

-- name: decide
-- Keeps decisions; a row about which another one stands is left out.
insert into quarantine_decisions (quarantined_id, decision, decided_by, note, replaced)
select given.quarantined_id, %(decision)s, %(who)s, %(note)s, given.replaced
from unnest(%(ids)s::bigint[], %(replaced)s::jsonb[]) as given (quarantined_id, replaced)
on conflict (quarantined_id) where undone_at is null do nothing
returning quarantined_id;

-- name: decided
-- Those of the rows about which a decision stands.
select quarantined_id
from quarantine_decisions
where quarantined_id = any(%(ids)s::bigint[])
and undone_at is null;

-- name: standing
-- The decision that stands about a row, locked.
select id, decision, replaced
from quarantine_decisions
where quarantined_id = %(quarantined_id)s
and undone_at is null
for update;

-- name: undo
-- A decision stands no more; it stays on record.
update quarantine_decisions
set undone_by = %(who)s, undone_at = clock_timestamp()
where id = %(id)s;

-- name: cover
-- What an accepted bar covers.
update series
set covered = covered + %(ranges)s::tstzmultirange, updated_at = clock_timestamp()
where symbol_id = %(symbol_id)s
and timeframe = %(timeframe)s;

-- name: take_out
-- A bar that was accepted, out of the table again.
delete from ohlc_bars
where symbol_id = %(symbol_id)s
and timeframe = %(timeframe)s
and ts = %(ts)s
and data_status = 'final';

-- name: put_back
-- The bar that an accepted one had replaced.
update ohlc_bars
set (open, high, low, close, volume, vwap, trade_count, provider, feed, fetched_at) = (
    select
        given.open, given.high, given.low, given.close, given.volume, given.vwap, given.trade_count, given.provider,
        given.feed, clock_timestamp()
    from jsonb_populate_record(null::ohlc_bars, %(replaced)s::jsonb) as given
)
where symbol_id = %(symbol_id)s
and timeframe = %(timeframe)s
and ts = %(ts)s;

-- name: are_rejected
-- Of each stretch of time, by its position from 1, whether a person has rejected all rows that came for it.
select wanted.position, bool_and(standing.decision is not distinct from 'rejected')
from unnest(%(symbol_ids)s::integer[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
    with ordinality as wanted (symbol_id, start_at, end_at, position)
join quarantined_bars
    on quarantined_bars.symbol_id = wanted.symbol_id
    and quarantined_bars.timeframe = %(timeframe)s
    and quarantined_bars.ts >= wanted.start_at
    and quarantined_bars.ts < wanted.end_at
left join quarantine_decisions as standing
    on standing.quarantined_id = quarantined_bars.id
    and standing.undone_at is null
group by wanted.position;
