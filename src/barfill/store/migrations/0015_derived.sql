-- Which bars were made of finer ones, and of which: so that they are made anew where those change, and so that derived and
-- fetched stretches of one series can be told apart.

-- Where bars of a series were derived from a finer one of the same symbol. Written under the lock of the series' row.
-- No two sources of a series overlap. What was fetched since is taken out; only what lies in `series.covered` counts.
create table derived_ranges (
    symbol_id integer not null,
    timeframe text collate "C" not null,
    source text collate "C" not null,
    ranges tstzmultirange not null,
    primary key (symbol_id, timeframe, source),
    foreign key (symbol_id, timeframe) references series (symbol_id, timeframe) on delete cascade,
    constraint source_is_finer check (
        array_position(array['m1', 'm5', 'm15', 'm30', 'h1', 'h4', 'd1', 'w1'], source)
        < array_position(array['m1', 'm5', 'm15', 'm30', 'h1', 'h4', 'd1', 'w1'], timeframe)
    )
);

-- Until now nobody wrote it down: what a finer series covers was made of the finest of them, weeks of days.
with ranked as (
    select
        symbol_id,
        timeframe,
        feed,
        basis,
        covered,
        array_position(array['m1', 'm5', 'm15', 'm30', 'h1', 'h4'], timeframe::text) as place
    from series
    where timeframe <> 'w1'
    and timeframe <> 'd1'
)

insert into derived_ranges (symbol_id, timeframe, source, ranges)
select target.symbol_id, target.timeframe, source.timeframe, made.ranges
from ranked as target
join ranked as source
    on source.symbol_id = target.symbol_id
    and (source.feed, source.basis) = (target.feed, target.basis)
    and source.place < target.place
cross join lateral (
    select target.covered * source.covered - coalesce(
        (
            select range_agg(part)
            from ranked as finer
            cross join lateral unnest(finer.covered) as part
            where finer.symbol_id = source.symbol_id
            and (finer.feed, finer.basis) = (source.feed, source.basis)
            and finer.place < source.place
        ),
        '{}'
    ) as ranges
) as made
where not isempty(made.ranges)
union all
select weeks.symbol_id, 'w1', 'd1', weeks.covered
from series as weeks
join series as days
    on days.symbol_id = weeks.symbol_id
    and days.timeframe = 'd1'
    and (days.feed, days.basis) = (weeks.feed, weeks.basis)
where weeks.timeframe = 'w1'
and not isempty(weeks.covered);

-- Whether a bar is a stub: an intraday one that the session's close ends before its nominal length, such as XNYS 1h 15:30
-- and 4h 13:30. False for days, weeks, and whatever starts in no session.
create function is_stub(of_symbol_id integer, of_timeframe text, starts_at timestamptz)
returns boolean language sql stable as $$
    select exists (
        select
        from symbols
        join sessions on sessions.calendar = symbols.calendar
        where symbols.id = of_symbol_id
        and of_timeframe not in ('d1', 'w1')
        -- A session may open on the day before its date.
        and sessions.session_on between (starts_at at time zone 'UTC')::date - 1 and (starts_at at time zone 'UTC')::date + 1
        and sessions.opens_at <= starts_at
        and sessions.closes_at > starts_at
        and sessions.closes_at < starts_at + case of_timeframe
            when 'm1' then interval '1 minute'
            when 'm5' then interval '5 minutes'
            when 'm15' then interval '15 minutes'
            when 'm30' then interval '30 minutes'
            when 'h1' then interval '1 hour'
            when 'h4' then interval '4 hours'
        end
    )
$$;
