-- Cancels jobs: final at once for the one who asked; the node that runs one is told, and stops it.
create or replace function earshot.cancel_jobs(p_ids bigint[], p_tenant text default 'default') returns setof bigint
language sql security definer set search_path = earshot, pg_temp
as $$
  select earshot.end_jobs((select array_agg(j.id) from earshot.jobs j where j.id = any (p_ids) and j.tenant_id = p_tenant),
    'cancelled', 'EARSHOT_CANCELLED', 'Cancelled on request.')
$$;
