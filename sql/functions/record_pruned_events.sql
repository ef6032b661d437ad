-- Remembers up to which place events were deleted, so that anyone who resumes before it is told.
-- Called by what deletes events.
create or replace function earshot.record_pruned_events(p_xid xid8, p_id bigint) returns void
language sql security definer set search_path = earshot, pg_temp
as $$ update earshot.pruned_events p set xid = p_xid, id = p_id where (p_xid, p_id) > (p.xid, p.id) $$;
