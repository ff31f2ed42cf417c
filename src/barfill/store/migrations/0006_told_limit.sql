-- The limit that the provider tells in its headers holds where it is lower than the one that was set.

alter table quotas
add column set_per_minute integer,
add column told_per_minute integer,
add constraint set_limit_allows_something check (set_per_minute >= 1),
add constraint told_limit_allows_something check (told_per_minute >= 1);

update quotas set set_per_minute = requests_per_minute;

alter table quotas alter column set_per_minute set not null;
