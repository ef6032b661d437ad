-- Ends a job for whose answer someone waited and waits no longer, with the true reason.
--   p_status  failed: it could not be done in time, or at all | cancelled: the client, or its
--     coordinator, went away
-- Precondition: open. Returns whether it ended by this.
create or replace function earshot.give_up_job(p_id bigint, p_status text, p_code text, p_sentence text) returns boolean
language sql security definer set search_path = earshot, pg_temp
as $$
  select exists (select from earshot.end_jobs(array[p_id], p_status, p_code, p_sentence))
$$;
