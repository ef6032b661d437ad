-- Jobs that must run alone and wait for a node, with what they need.
create or replace function earshot.list_alone_jobs() returns table (id bigint, role text, requires jsonb)
language sql stable security definer set search_path = earshot, pg_temp
as $$
  select j.id, j.role, j.requires from earshot.jobs j where j.alone and j.status = 'pending' and j.run_at <= now() order by j.id limit 100
$$;
