-- name: due
-- Series of which something is to be read again by now, or of which nobody has looked yet.
select symbol_id, covered, read_again_until, drawn_on
from series
where timeframe = %(timeframe)s
and symbol_id = any(%(symbol_ids)s::integer[])
and feed = %(feed)s
and basis = %(basis)s
and not isempty(covered)
and (
    read_again_until is null
    or read_again_until < %(until)s
    or drawn_on is null
    or drawn_on < %(week)s
)
order by symbol_id;

-- name: mark
-- What is planned is not planned again, however it ends: the next close brings the same sessions once more.
update series
set
    read_again_until = greatest(read_again_until, %(until)s::timestamptz),
    drawn_on = greatest(drawn_on, %(week)s::date)
where timeframe = %(timeframe)s
and symbol_id = any(%(symbol_ids)s::integer[]);
