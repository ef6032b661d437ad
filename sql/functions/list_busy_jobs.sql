-- Of these jobs, those that cannot end now, since another transaction holds a job below them. Locks
-- the others' jobs below, without waiting.
--   p_deep  whether one may fail: then the jobs below its children change too
-- Called by finish_jobs. It never waits for a job, so no order of locks can make it part of a
-- deadlock.
create or replace function earshot.list_busy_jobs(p_ids bigint[], p_deep boolean) returns bigint[]
language plpgsql security definer set search_path = earshot, pg_temp
as $$
begin
  if not exists (select from earshot.job_parents p where p.parent_id = any (p_ids) and not p.counted) then
    return '{}';
  end if;
  return (
    with recursive below (top, id) as (
      select p.parent_id, p.job_id from earshot.job_parents p where p.parent_id = any (p_ids) and not p.counted
      union
      select b.top, p.job_id from below b join earshot.job_parents p on p.parent_id = b.id and not p.counted where p_deep
    ), locked as materialized (
      select j.id from earshot.jobs j where j.id in (select b.id from below b) and j.status = 'blocked' order by j.id for update skip locked
    )
    select coalesce(array_agg(distinct b.top), '{}') from below b join earshot.jobs j on j.id = b.id and j.status = 'blocked'
    where not exists (select from locked l where l.id = b.id));
end $$;
