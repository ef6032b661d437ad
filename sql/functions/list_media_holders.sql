-- Who holds a piece of media, seen last first. path: where it lies on the holder's own box.
create or replace function earshot.list_media_holders(p_hash text)
returns table (holder text, url text, size bigint, seen_s double precision, path text)
language sql stable security definer set search_path = earshot, pg_temp
as $$
  select m.holder, c.url, m.size, extract(epoch from clock_timestamp() - c.last_seen)::double precision, m.path
  from earshot.media m left join earshot.coordinators c on c.id = m.holder
  where m.hash = p_hash order by c.last_seen desc nulls last
$$;
