-- Jobs that must run alone and wait for a node, with what they need.
create or replace function earshot.list_isolated_jobs() returns table (id bigint, role text, requires jsonb)
language plpgsql stable security definer set search_path = earshot, pg_temp
as $$
#variable_conflict use_column
begin
  return query
  select j.id, j.role, j.requires from earshot.jobs j where j.alone and j.status = 'pending' and j.run_at <= now() order by j.id limit 100;
end $$;
