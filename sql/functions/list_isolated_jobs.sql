-- Jobs that must run alone and wait for a node, with what they need and the nodes that died of
-- them: the next hundred beyond
-- p_after.
create or replace function earshot.list_isolated_jobs(p_after bigint default 0) returns table (id bigint, role text, requires jsonb, died_on text[])
language plpgsql stable security definer set search_path = earshot, pg_temp
as $$
#variable_conflict use_column
begin
  return query
  select j.id, j.role, j.requires,
    array(select distinct d.node from earshot.node_deaths d where j.id = any (d.jobs) and not d.rebooted)
  from earshot.jobs j where j.alone and j.status = 'pending' and j.run_at <= now() and j.id > p_after order by j.id limit 100;
end $$;
