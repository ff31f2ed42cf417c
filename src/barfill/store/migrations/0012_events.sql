-- Corporate actions. A row is never deleted: what a provider no longer lists gets `withdrawn_at`, and a correction of what
-- makes an event (day, ratio, amount) is a row of its own beside the withdrawn one, so that what was known when can be told.
--
-- Of each provider the same event is on record once, however often it lists it (unique keys); two providers have a row each.
-- `filed_on` is the date by which the provider's lists are asked, `last_seen_at` when it listed the event last.

create table splits (
    id bigint generated always as identity primary key,
    symbol_id integer not null references symbols (id) on delete cascade,
    ex_on date not null,
    form text not null,
    numerator bigint not null,
    denominator bigint not null,
    record_on date,
    paid_on date,
    ticker text not null,
    provider text not null,
    event_id text not null default '',
    filed_on date not null,
    first_seen_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null,
    updated_at timestamptz not null default clock_timestamp(),
    withdrawn_at timestamptz,
    constraint split_is_listed_once unique (symbol_id, ex_on, form, numerator, denominator, provider),
    constraint split_form_is_known check (form in ('split', 'stock_dividend')),
    constraint split_changes_something check (numerator > 0 and denominator > 0 and numerator <> denominator),
    constraint split_is_in_lowest_terms check (gcd(numerator, denominator) = 1)
);

create index splits_by_filing on splits (provider, filed_on);
create index splits_by_event on splits (provider, event_id) where event_id <> '';

create table dividends (
    id bigint generated always as identity primary key,
    symbol_id integer not null references symbols (id) on delete cascade,
    ex_on date not null,
    form text not null,
    amount numeric not null,
    currency text not null default '',
    declared_on date,
    record_on date,
    paid_on date,
    ticker text not null,
    provider text not null,
    event_id text not null default '',
    filed_on date not null,
    first_seen_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null,
    updated_at timestamptz not null default clock_timestamp(),
    withdrawn_at timestamptz,
    constraint dividend_is_listed_once unique (symbol_id, ex_on, form, amount, currency, provider),
    constraint dividend_form_is_known check (form in ('cash', 'special', 'long_term_gain', 'short_term_gain')),
    constraint dividend_pays_something check (amount > 0 and amount < 'Infinity')
);

create index dividends_by_filing on dividends (provider, filed_on);
create index dividends_by_event on dividends (provider, event_id) where event_id <> '';

create table earnings (
    id bigint generated always as identity primary key,
    symbol_id integer not null references symbols (id) on delete cascade,
    report_on date not null,
    hour text not null default '',
    fiscal_year integer,
    fiscal_quarter integer,
    eps_estimate numeric,
    eps_actual numeric,
    ticker text not null,
    provider text not null,
    event_id text not null default '',
    filed_on date not null,
    first_seen_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null,
    updated_at timestamptz not null default clock_timestamp(),
    withdrawn_at timestamptz,
    constraint earnings_are_listed_once unique (symbol_id, report_on, provider),
    constraint earnings_hour_is_known check (hour in ('', 'before_open', 'during', 'after_close')),
    constraint fiscal_quarter_is_one check (fiscal_quarter between 1 and 4),
    constraint earnings_are_finite check (abs(eps_estimate) < 'Infinity' and abs(eps_actual) < 'Infinity')
);

create index earnings_by_filing on earnings (provider, filed_on);
create index earnings_by_event on earnings (provider, event_id) where event_id <> '';

-- `applied_at` is when the series took the new ticker; null where it bore it already, or where it is still to come.
create table ticker_changes (
    id bigint generated always as identity primary key,
    symbol_id integer not null references symbols (id) on delete cascade,
    effective_on date not null,
    old_ticker text not null,
    new_ticker text not null,
    applied_at timestamptz,
    provider text not null,
    event_id text not null default '',
    filed_on date not null,
    first_seen_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null,
    updated_at timestamptz not null default clock_timestamp(),
    withdrawn_at timestamptz,
    constraint ticker_change_is_listed_once unique (symbol_id, effective_on, old_ticker, new_ticker, provider),
    constraint tickers_differ check (old_ticker <> new_ticker)
);

create index ticker_changes_by_old on ticker_changes (old_ticker);

-- `applied_at` is when the series was switched off for it.
create table delistings (
    id bigint generated always as identity primary key,
    symbol_id integer not null references symbols (id) on delete cascade,
    effective_on date not null,
    form text not null,
    successor text not null default '',
    applied_at timestamptz,
    ticker text not null,
    provider text not null,
    event_id text not null default '',
    filed_on date not null,
    first_seen_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null,
    updated_at timestamptz not null default clock_timestamp(),
    withdrawn_at timestamptz,
    constraint delisting_is_listed_once unique (symbol_id, effective_on, form, provider),
    constraint delisting_form_is_known check (
        form in ('cash_merger', 'stock_merger', 'stock_and_cash_merger', 'worthless', 'delisted')
    )
);

-- The day from which a symbol is traded no more, as the provider gives it: it may be the last one with a trade.
alter table symbols add column delisted_on date;

-- Which days of events were asked for when: of one symbol, or of the whole market where symbol_id is null.
create table events_asked (
    id bigint generated always as identity primary key,
    provider text not null,
    kind text not null,
    symbol_id integer references symbols (id) on delete cascade,
    first_on date not null,
    end_on date not null,
    asked_at timestamptz not null,
    constraint days_last check (first_on < end_on),
    constraint kind_is_known check (kind in ('splits', 'dividends', 'earnings', 'changes', 'delistings'))
);

create index events_asked_by_provider on events_asked (provider, kind, symbol_id);
