-- By which calendar a run was planned: the gaps that it was to fill may be expected by another one since. Null: made before.

alter table job_runs add column calendar_version text;
