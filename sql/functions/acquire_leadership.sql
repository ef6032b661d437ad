-- Takes or renews leadership; returns the term, or null while another coordinator leads.
--   p_holder  unique to one process
--   p_force   for the embedded database, where no other process can be alive, and whose one session
--     no lock shuts out: there every change rings the bell
create or replace function earshot.acquire_leadership(p_holder text, p_force boolean default false) returns bigint
language sql security definer set search_path = earshot, pg_temp
as $$
  with bell as (
    update earshot.settings s set doorbell = not p_force where s.doorbell = p_force
  )
  update earshot.leader l
  set term = case when l.holder = p_holder then l.term else l.term + 1 end,
    holder = p_holder,
    expires_at = clock_timestamp() + (select leadership from earshot.settings)
  -- An end further away than any leadership lasts was written before the clock was set back.
  where l.holder = p_holder or p_force
    or l.expires_at not between clock_timestamp() and clock_timestamp() + (select leadership from earshot.settings)
  returning term
$$;
