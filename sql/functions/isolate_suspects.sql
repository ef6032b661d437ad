-- Which of these jobs nodes die of: they leave their lanes, and run alone once more. Called by
-- record_node_death, whose rule it is.
create or replace function earshot.isolate_suspects(p_ids bigint[]) returns void
language sql security definer set search_path = earshot, pg_temp
as $$
  with suspects as (
    select j.id from earshot.jobs j
    cross join lateral (
      select count(distinct d.node) as nodes, min(d.node) as node, min(d.id) as first, count(*) as deaths
      from (
        select d.id, d.node, d.at from earshot.node_deaths d where j.id = any (d.jobs) and not d.rebooted
        order by d.id desc limit j.deaths) d
      -- Nodes that die within one lease of each other share a cause, such as a power cut. The job
      -- ran on one only.
      where not exists (
        select from earshot.node_deaths o cross join earshot.settings s
        where o.at between d.at - s.lease and d.at + s.lease and o.node <> d.node and not j.id = any (o.jobs))) own
    where j.id = any (p_ids) and j.status = 'pending' and not j.alone and (own.deaths >= 3
      -- Its only node: no other one can show whether the job or the node is the cause.
      or own.deaths = 2 and own.nodes = 1 and not exists (
        select from earshot.node_registry o where o.id <> own.node and o.status <> 'offline' and j.role = any (o.roles)))
      and (select count(*) from earshot.node_deaths d where d.id >= own.first and not j.id = any (d.jobs)) < own.deaths
  ), apart as (
    update earshot.jobs j set alone = true, due = false,
      error = format('%s It was running at %s unexplained deaths of nodes: it runs alone once more.', j.error, j.deaths)
    from suspects s where j.id = s.id returning j.id, j.tenant_id, j.document_id, j.deaths
  )
  insert into earshot.events (tenant_id, type, job_id, document_id, data)
  select a.tenant_id, 'job.suspected', a.id, a.document_id, jsonb_build_object('deaths', a.deaths) from apart a
$$;
