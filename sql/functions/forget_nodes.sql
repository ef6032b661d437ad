-- Forgets nodes that have been offline for longer than they are kept and have nothing in hand. One
-- that a person holds back stays: it must not work again just because it was away. Acts only while
-- this term leads. Returns their ids.
create or replace function earshot.forget_nodes(p_term bigint) returns setof text
language sql security definer set search_path = earshot, pg_temp
as $$
  with old as (
    select n.id from earshot.nodes n cross join earshot.settings s
    where n.status = 'offline' and n.last_seen < clock_timestamp() - s.keep_nodes and not n.drained
      and not exists (select from earshot.quarantines q where q.node = n.id and q.role = '*')
      and not exists (select from earshot.jobs j where j.assigned_node = n.id and j.status in ('assigned', 'running'))
      and earshot.is_leading(p_term)
    order by n.id for update of n skip locked
  ), gone as (
    delete from earshot.nodes n using old where n.id = old.id returning n.id
  ), told as (
    insert into earshot.events (type, node) select 'node.forgotten', g.id from gone g
  )
  select g.id from gone g
$$;
