-- Where a node can fetch a piece of media, holders seen last first, with a signature for this hash
-- alone that lasts six hours: long enough for a big recording over a slow line.
-- Precondition: the caller is this node; otherwise it is refused (42501).
create or replace function earshot.locate_media(p_hash text, p_node text default null, p_incarnation bigint default null, p_token text default null)
returns table (holder text, url text, size bigint, seen_s double precision, path text, expires bigint, signature text)
language plpgsql stable security definer set search_path = earshot, pg_temp
as $$
declare
  v_expires bigint := ceil(extract(epoch from clock_timestamp()))::bigint + 6 * 3600;
begin
  if not earshot.is_node(p_node, p_incarnation, p_token) then
    raise exception 'This worker has not registered as a node of this mesh: restart it, with the mesh''s version of Earshot.' using errcode = '42501';
  end if;
  return query select h.*, v_expires, earshot.sign_media(p_hash, v_expires) from earshot.list_media_holders(p_hash) h;
end $$;
