-- Bars that are read again since providers correct them.

-- Up to where the last sessions of a series were read again, and the Monday of the week in which a part of what is older
-- was drawn last. Null: never looked at.
alter table series add column read_again_until timestamptz;
alter table series add column drawn_on date;

-- A run that reads again what is covered: what it lacks says nothing.
alter table job_runs add column is_reread boolean not null default false;
