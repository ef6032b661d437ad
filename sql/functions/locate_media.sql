-- Where a piece of media can be fetched, holders seen last first, and the secret that signs its address. path: where it lies on the
-- holder's own box.
create or replace function earshot.locate_media(p_hash text) returns table (holder text, url text, size bigint, seen_s double precision, secret text, path text)
language sql stable security definer set search_path = earshot, pg_temp
as $$
  select m.holder, c.url, m.size, extract(epoch from clock_timestamp() - c.last_seen)::double precision, s.secret, m.path
  from earshot.media m left join earshot.coordinators c on c.id = m.holder cross join earshot.settings s
  where m.hash = p_hash order by c.last_seen desc nulls last
$$;
