-- Locks the jobs that a node reports the end of, in one order, whatever becomes of the reports, and says which may be completed as they
-- are. Called by finish_jobs, in its transaction.
-- Returns those that are open under their fence and this node's. plain: it succeeded, in a kind whose output is kept as it is.
create or replace function earshot.hold_reported(p_node text, p_incarnation bigint, p_ids bigint[], p_fences bigint[], p_outcomes jsonb[])
returns table (id bigint, output jsonb, ran jsonb, plain boolean)
language plpgsql security definer set search_path = earshot, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with held as materialized (
    select j.id, j.kind, j.status, j.assigned_node, j.incarnation, r.outcome
    from unnest(p_ids, p_fences, p_outcomes) r (id, fence, outcome) join earshot.jobs j on j.id = r.id and j.fence = r.fence
    order by j.id for update of j
  )
  select h.id, h.outcome -> 'output', h.outcome -> 'ran_s',
    not h.outcome ? 'error' and exists (select from earshot.job_kinds k where k.kind = h.kind and not k.built_in)
  from held h where h.status in ('assigned', 'running') and h.assigned_node = p_node and h.incarnation = p_incarnation;
end $$;
