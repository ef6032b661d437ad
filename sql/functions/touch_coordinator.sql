-- A coordinator says that it is there, and where workers reach it; said again every few seconds.
-- When it was away, the jobs that rest since its media could not be fetched need not rest on.
create or replace function earshot.touch_coordinator(p_id text, p_url text, p_version text, p_protocol int) returns void
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_stayed boolean := (select c.url = p_url and c.last_seen > clock_timestamp() - interval '30 seconds' from earshot.coordinators c where c.id = p_id);
begin
  insert into earshot.coordinators (id, url, version, protocol) values (p_id, p_url, p_version, p_protocol)
  on conflict (id) do update set url = excluded.url, version = excluded.version, protocol = excluded.protocol, last_seen = clock_timestamp();
  if v_stayed then
    return;
  end if;
  -- The sweep makes them due. Those that were never tried wait for an hour that someone chose.
  update earshot.jobs j set run_at = now()
  from (select q.id from earshot.jobs q join earshot.media m on m.hash = q.payload ->> 'media' and m.holder = p_id
        where q.status = 'pending' and not q.due and q.attempt > 0 and q.run_at > now() order by q.id for update of q skip locked) r
  where j.id = r.id;
end $$;
