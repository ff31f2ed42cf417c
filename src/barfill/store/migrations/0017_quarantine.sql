-- What people decide about quarantined rows, and the warnings about bars that are stored all the same.

-- A decision stands until it is undone; none is deleted, so that who decided what and when can be told.
create table quarantine_decisions (
    id bigint generated always as identity primary key,
    quarantined_id bigint not null references quarantined_bars (id) on delete cascade,
    decision text not null,
    decided_by text not null,
    decided_at timestamptz not null default clock_timestamp(),
    note text not null default '',
    -- The stored bar that an accepted row has replaced, and that takes its place again when this is undone.
    replaced jsonb,
    undone_by text,
    undone_at timestamptz,
    constraint decision_is_known check (decision in ('accepted', 'rejected')),
    constraint somebody_decided check (decided_by <> ''),
    constraint undone_by_somebody check ((undone_at is null) = (undone_by is null)),
    constraint only_accepting_replaces check (replaced is null or decision = 'accepted')
);

create unique index one_decision_stands on quarantine_decisions (quarantined_id) where undone_at is null;
create index quarantine_decisions_by_row on quarantine_decisions (quarantined_id);
create index quarantined_bars_by_series on quarantined_bars (symbol_id, timeframe, ts);

-- The quarantined rows with what became of them. `superseded`: a final bar is stored in their place by now.
create view quarantine as
select
    quarantined_bars.id,
    quarantined_bars.symbol,
    quarantined_bars.timeframe,
    quarantined_bars.ts,
    quarantined_bars.rule,
    quarantined_bars.reason,
    quarantined_bars.raw,
    quarantined_bars.provider,
    quarantined_bars.feed,
    quarantined_bars.run_id,
    quarantined_bars.request_id,
    quarantined_bars.quarantined_at,
    coalesce(standing.decision, case when stored.is_stored then 'superseded' else 'open' end) as state,
    standing.decided_by,
    standing.decided_at,
    standing.note,
    quarantined_bars.symbol_id
from quarantined_bars
left join quarantine_decisions as standing
    on standing.quarantined_id = quarantined_bars.id
    and standing.undone_at is null
-- With a limit, so that it stays a look-up however many bars there are.
left join lateral (
    select true as is_stored
    from ohlc_bars
    where ohlc_bars.symbol_id = quarantined_bars.symbol_id
    and ohlc_bars.timeframe = quarantined_bars.timeframe
    and ohlc_bars.ts = quarantined_bars.ts
    and ohlc_bars.data_status = 'final'
    limit 1
) as stored on true;

-- Stored bars that look wrong and break no hard rule: kept as sent, marked here.
create table bar_warnings (
    symbol_id integer not null references symbols (id) on delete cascade,
    timeframe text collate "C" not null,
    ts timestamptz not null,
    rule text collate "C" not null,
    detail text not null,
    run_id bigint,
    seen_at timestamptz not null default clock_timestamp(),
    primary key (symbol_id, timeframe, ts, rule)
);

create index bar_warnings_by_rule on bar_warnings (rule, ts);

-- How many rows of each run gave which warning, those without a row of their own included.
create table run_warnings (
    run_id bigint not null references job_runs (id) on delete cascade,
    rule text collate "C" not null,
    bars bigint not null,
    primary key (run_id, rule),
    constraint somebody_was_warned check (bars > 0)
);
