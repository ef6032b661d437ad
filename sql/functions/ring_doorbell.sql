-- Tells the coordinators that there is work. Every function that makes a job pending or a slot free
-- calls it, once a statement; the server merges equal notifications of one transaction. A hint
-- only: the rows are the record. Commits that carry a notification wait for each other, so it is
-- silent while the leader is awake and looks for itself. The leader that goes to sleep holds this
-- lock alone (packages/coordinator/src/routing/doorbell.ts): from the moment it asks for it no one
-- gets it shared, and anyone who has it shared already is waited for.
create or replace function earshot.ring_doorbell() returns void
language plpgsql security definer set search_path = earshot, pg_temp
as $$
begin
  if (select s.doorbell from earshot.settings s) and pg_try_advisory_xact_lock_shared(1163153235, 2) then
    return;
  end if;
  perform pg_notify('earshot', 'jobs');
end $$;
