-- Jobs succeeded on a node: what was held against it in these roles is over, a quarantine is
-- lifted, and where these very jobs had failed before, on other nodes, those nodes were to blame.
-- Called by finish_jobs, which holds the rows of all nodes concerned.
create or replace function earshot.record_success(p_node text, p_jobs bigint[], p_roles text[]) returns void
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_guilty record;
begin
  delete from earshot.node_failures f where f.node = p_node and f.role = any (p_roles);
  with lifted as (
    delete from earshot.quarantines q where q.node = p_node and q.role = any (p_roles) returning q.role
  )
  insert into earshot.events (type, node, data)
  select 'node.resumed', p_node, jsonb_build_object('by', 'probe', 'role', l.role) from lifted l;
  for v_guilty in
    with proved as (
      update earshot.node_failures f set proven = true
      where f.job_id = any (p_jobs) and not f.proven returning f.node, f.role
    ), charged as (
      update earshot.nodes n set faults = n.faults + p.count from (select node, count(*)::int from proved group by 1) p where n.id = p.node
    )
    select distinct node, role from proved order by 1, 2
  loop
    perform earshot.quarantine_failing_node(v_guilty.node, v_guilty.role);
  end loop;
end $$;
