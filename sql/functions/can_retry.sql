-- Whether a job can be tried again now: it ended without success, or it rests after a failure.
create or replace function earshot.can_retry(p_job earshot.jobs) returns boolean
language sql immutable set search_path = earshot, pg_temp
as $$ select p_job.status in ('failed', 'cancelled') or (p_job.status = 'pending' and not p_job.due and p_job.attempt > 0) $$;
