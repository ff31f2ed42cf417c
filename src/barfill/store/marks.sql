-- name: mark_bars
-- Warnings about single bars; one that is there already, with the same values, stays as it is.
insert into bar_warnings as known (symbol_id, timeframe, ts, rule, detail, run_id)
select given.symbol_id, %(timeframe)s, given.ts, given.rule, given.detail, %(run_id)s
from unnest(%(symbol_ids)s::integer[], %(starts)s::timestamptz[], %(rules)s::text[], %(details)s::text[])
    as given (symbol_id, ts, rule, detail)
on conflict (symbol_id, timeframe, ts, rule) do update
set detail = excluded.detail, run_id = excluded.run_id, seen_at = excluded.seen_at
where known.detail is distinct from excluded.detail;

-- name: forget_page
-- What pages have said of the bars that a page speaks of anew; what comparing timeframes has found stays.
delete from bar_warnings
using unnest(%(symbol_ids)s::integer[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[])
    as given (symbol_id, first_ts, last_ts)
where bar_warnings.symbol_id = given.symbol_id
and bar_warnings.timeframe = %(timeframe)s
and bar_warnings.ts >= given.first_ts
and bar_warnings.ts <= given.last_ts
and bar_warnings.rule not in ('W12', 'W17', 'W20');

-- name: forget_ranges
-- All that was said of bars that are no longer there.
delete from bar_warnings
using unnest(%(symbol_ids)s::integer[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
    as given (symbol_id, start_at, end_at)
where bar_warnings.symbol_id = given.symbol_id
and bar_warnings.timeframe = %(timeframe)s
and bar_warnings.ts >= given.start_at
and bar_warnings.ts < given.end_at;

-- name: count_warnings
-- How many rows of a run gave which warning, over its pages.
insert into run_warnings as known (run_id, rule, bars)
select %(run_id)s, given.rule, given.bars
from unnest(%(rules)s::text[], %(counts)s::bigint[]) as given (rule, bars)
on conflict (run_id, rule) do update
set bars = known.bars + excluded.bars;

-- name: list_marks
-- Warnings about stored bars by filter, the newest bars first; a null filter lets everything pass.
select symbols.ticker, bar_warnings.timeframe, bar_warnings.ts, bar_warnings.rule, bar_warnings.detail,
    bar_warnings.run_id, bar_warnings.seen_at
from bar_warnings
join symbols on symbols.id = bar_warnings.symbol_id
where (%(symbol_ids)s::integer[] is null or bar_warnings.symbol_id = any(%(symbol_ids)s::integer[]))
and (%(timeframes)s::text[] is null or bar_warnings.timeframe = any(%(timeframes)s::text[]))
and (%(rules)s::text[] is null or bar_warnings.rule = any(%(rules)s::text[]))
and (%(start)s::timestamptz is null or bar_warnings.ts >= %(start)s::timestamptz)
and (%(end)s::timestamptz is null or bar_warnings.ts < %(end)s::timestamptz)
order by bar_warnings.ts desc, symbols.ticker collate "C", bar_warnings.timeframe, bar_warnings.rule
limit %(limit)s;

-- name: count_marks
-- The same, counted by rule.
select rule, count(*)
from bar_warnings
where (%(symbol_ids)s::integer[] is null or symbol_id = any(%(symbol_ids)s::integer[]))
and (%(timeframes)s::text[] is null or timeframe = any(%(timeframes)s::text[]))
and (%(rules)s::text[] is null or rule = any(%(rules)s::text[]))
and (%(start)s::timestamptz is null or ts >= %(start)s::timestamptz)
and (%(end)s::timestamptz is null or ts < %(end)s::timestamptz)
group by rule
order by rule;
