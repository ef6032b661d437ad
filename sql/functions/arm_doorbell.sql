-- From now on anyone who changes something rings. Waits until no one is left who found the leader
-- awake; then the leader looks once more, and sleeps. Belongs to the session: it ends with the
-- connection, or with disarm_doorbell.
create or replace function earshot.arm_doorbell() returns void
language sql security definer set search_path = earshot, pg_temp
as $$ select pg_advisory_lock(1163153235, 2) $$;
