-- A node vanished without a word, or came back without having said that it would go: writes down
-- what it was running, and sends all it held back. What it was running: those marked as running;
-- where none was marked yet, those that it would have begun with: it may hold more than it has
-- slots for.
--   p_cause  lost (its lease ended) | restart (a newer incarnation)
--   p_rebooted  its machine started again: that tells against no job
-- A job that was being run at three such deaths is isolated when fewer nodes died without it than
-- with it since the first of them (otherwise something else kills nodes): it runs alone once more.
-- Where no other node offers its role, two deaths are enough. A death does not count when another
-- node died without the job within one lease of it. When the node it ran alone on dies too, it
-- fails. Returns how many went back.
create or replace function earshot.record_node_death(p_node text, p_ids bigint[], p_sentence text, p_cause text, p_rebooted boolean default false) returns int
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_held bigint[];
  v_running bigint[];
  v_poison bigint[];
  v_count int;
begin
  select array_agg(h.id), array_agg(h.id) filter (where h.status = 'running') into v_held, v_running
  from (select j.id, j.status from earshot.jobs j where j.id = any (p_ids) and j.status in ('assigned', 'running') order by j.id for update) h;
  v_running := coalesce(v_running, array(
    select q.id from (
      select j.id, j.role, row_number() over (partition by j.role order by j.class desc, j.priority desc, j.id) as place
      from earshot.jobs j where j.id = any (v_held)) q
    left join earshot.nodes n on n.id = p_node
    where q.place <= case when n.slots ? q.role then earshot.as_count(n.slots -> q.role) else 1 end));
  insert into earshot.node_deaths (node, jobs, rebooted) values (p_node, v_running, p_rebooted);
  if p_rebooted then
    return earshot.requeue_jobs(v_held, p_sentence, p_cause);
  end if;
  update earshot.jobs j set deaths = j.deaths + 1 where j.id = any (v_running);
  select array_agg(j.id) into v_poison from earshot.jobs j
  where j.id = any (v_running) and j.alone and not exists (
    select from earshot.node_deaths o cross join earshot.settings s
    where o.at > now() - s.lease and o.node <> p_node and not j.id = any (o.jobs));
  v_count := earshot.requeue_jobs((select array_agg(h) from unnest(v_held) h where h <> all (coalesce(v_poison, '{}'))), p_sentence, p_cause);
  perform earshot.end_jobs(array[p.id], 'failed', 'EARSHOT_POISON', format('Nodes died %s times while they ran it, at last %s, where it ran alone.', j.deaths, p_node))
    from unnest(v_poison) p (id) join earshot.jobs j on j.id = p.id;
  perform earshot.isolate_suspects(v_running);
  return v_count;
end $$;
