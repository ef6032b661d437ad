-- A node whose lease ended is degraded; one silent for longer is offline. Its next heartbeat makes
-- it online again. That an idle node died is written down too: it tells in favour of the jobs that
-- others had in hand. A node whose row is held is left to the next sweep.
create or replace function earshot.mark_silent_nodes() returns int
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_silent text[];
  v_count int;
begin
  -- Locked first and looked at again: a heartbeat that was under way has renewed its lease in
  -- another table.
  select array_agg(l.id) into v_silent from (
    select n.id from earshot.nodes n where n.lease_until < clock_timestamp() and n.status <> 'offline' order by n.id for update of n skip locked) l;
  with judged as (
    select n.id, n.status as was, n.stopping, case when n.last_seen < clock_timestamp() - s.offline then 'offline' else 'degraded' end as now
    from earshot.nodes n cross join earshot.settings s
    where n.id = any (v_silent) and n.lease_until < clock_timestamp()
  ), changed as (
    update earshot.nodes n set status = j.now from judged j where n.id = j.id and n.status <> j.now returning n.id, n.status
  ), died as (
    insert into earshot.node_deaths (node, jobs)
    select j.id, '{}' from judged j where j.was = 'online' and not j.stopping
      and not exists (select from earshot.node_deaths d where d.node = j.id and d.at = now())
  ), told as (
    insert into earshot.events (type, node) select 'node.' || c.status, c.id from changed c
  )
  select count(*) into v_count from changed;
  return v_count;
end $$;
