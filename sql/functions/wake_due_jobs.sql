-- Makes pending jobs whose run_at has come routable; a thousand at a time, so that no sweep takes
-- long.
create or replace function earshot.wake_due_jobs() returns int
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_count int;
begin
  update earshot.jobs j set due = true
  from (select q.id from earshot.jobs q where q.status = 'pending' and not q.due and not q.alone and q.run_at <= now()
        order by q.run_at limit 1000 for update skip locked) d
  where j.id = d.id;
  get diagnostics v_count = row_count;
  if v_count > 0 then
    perform earshot.ring_doorbell();
  end if;
  return v_count;
end $$;
