-- name: decided_bars
-- Stamps within stretches of time about which people have decided: one of the rows was accepted and a final bar is
-- stored, or all of them were rejected.
select
    wanted.symbol_id,
    quarantined_bars.ts,
    bool_or(standing.decision is not distinct from 'accepted') as is_accepted
from unnest(%(symbol_ids)s::integer[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
    as wanted (symbol_id, start_at, end_at)
join quarantined_bars
    on quarantined_bars.symbol_id = wanted.symbol_id
    and quarantined_bars.timeframe = %(timeframe)s
    and quarantined_bars.ts >= wanted.start_at
    and quarantined_bars.ts < wanted.end_at
left join quarantine_decisions as standing
    on standing.quarantined_id = quarantined_bars.id
    and standing.undone_at is null
left join lateral (
    select true as is_stored
    from ohlc_bars
    where ohlc_bars.symbol_id = quarantined_bars.symbol_id
    and ohlc_bars.timeframe = quarantined_bars.timeframe
    and ohlc_bars.ts = quarantined_bars.ts
    and ohlc_bars.data_status = 'final'
    limit 1
) as stored on true
group by wanted.symbol_id, quarantined_bars.ts
having bool_and(standing.decision is not distinct from 'rejected')
or bool_or(standing.decision is not distinct from 'accepted' and stored.is_stored)
order by 1, 2;
