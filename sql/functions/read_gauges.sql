-- How things stand now, for GET /metrics: {jobs, nodes, lease_s, term, led}. jobs: rows of
-- count_jobs; nodes: the 500 that were heard of last.
create or replace function earshot.read_gauges() returns jsonb
language sql stable security definer set search_path = earshot, pg_temp set jit = off
as $$
  select jsonb_build_object(
    'jobs', (select coalesce(jsonb_agg(to_jsonb(c)), '[]') from earshot.count_jobs() c),
    'nodes', (select coalesce(jsonb_agg(to_jsonb(n)), '[]') from (
      select n.id, n.status, extract(epoch from clock_timestamp() - n.last_seen)::float8 as silent_s
      from earshot.nodes n order by n.last_seen desc limit 500) n),
    'lease_s', (select extract(epoch from s.lease)::float8 from earshot.settings s),
    'term', l.term::text, 'led', l.expires_at > clock_timestamp())
  from earshot.leader l
$$;
