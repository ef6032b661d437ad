-- Whether a submission needs nothing looked up but its kinds: kinds of the users' own, without keys
-- and without parents. Most short jobs are. Called by submit_jobs, after check_jobs.
create or replace function earshot.are_plain(p_jobs jsonb) returns boolean
language plpgsql stable security definer set search_path = earshot, pg_temp
as $$
begin
  return not jsonb_path_exists(p_jobs, '$[*] ? (exists (@.idempotency_key) || exists (@.after))')
    and not exists (select from earshot.job_kinds k where k.built_in and k.kind in (select a.job ->> 'kind' from jsonb_array_elements(p_jobs) a (job)));
end $$;
