-- Gaps that are accounted for, whatever their kind, and the evidence behind each.
alter table series_gaps add column settled_at timestamptz;
alter table series_gaps add column settled_by text;
-- Who was asked, when, with what answer: the first answers and the last ones, oldest first.
alter table series_gaps add column answers jsonb not null default '[]';
alter table series_gaps add constraint settled_by_somebody check (
    (settled_at is null) = (settled_by is null) and settled_by in ('rule', 'person')
);
alter table series_gaps add constraint answers_are_listed check (jsonb_typeof(answers) = 'array');

create or replace view gaps as
select
    symbols.ticker as symbol,
    series_gaps.timeframe,
    series_gaps.gap_from,
    series_gaps.gap_to,
    series_gaps.expected_bars,
    series_gaps.kind,
    series_gaps.attempts,
    series_gaps.first_seen_at,
    series_gaps.last_checked_at,
    series_gaps.next_check_at,
    series_gaps.reason,
    series_gaps.symbol_id,
    series_gaps.settled_at,
    series_gaps.settled_by,
    series_gaps.answers
from series_gaps
join symbols on symbols.id = series_gaps.symbol_id;
