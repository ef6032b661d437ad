-- Refuses (22023) a job that routing or the sweep could not read, however it was inserted:
-- malformed needs, times without end. A trigger of earshot.jobs, which calls it only for a job that
-- has needs or such a time; and of earshot.job_kinds.
create or replace function earshot.refuse_bad_job() returns trigger
language plpgsql set search_path = earshot, pg_temp
as $$
declare
  v_fault text := earshot.requires_fault(new.requires);
begin
  if v_fault is null and tg_table_name = 'jobs' then
    v_fault := case
      when not isfinite(new.run_at) then format('run_at is %s; expected a time.', new.run_at)
      when not isfinite(new.deadline) then format('deadline is %s; expected a time, or none.', new.deadline) end;
  end if;
  if v_fault is not null then
    raise exception '%', v_fault using errcode = '22023';
  end if;
  return new;
end $$;
