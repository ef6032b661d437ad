-- What would go if everything that is kept no longer were deleted now.
-- Returns a row for each sort: how long it is kept in seconds (null: for good), how many would go,
-- and how many bytes of files that frees (null: it has none).
create or replace function earshot.measure_prunable() returns table (what text, keep_s double precision, items bigint, bytes bigint)
language sql stable security definer set search_path = earshot, pg_temp set jit = off
as $$
  select 'speech', extract(epoch from s.keep_speech)::float8, (select count(*) from earshot.expired_speech), null::bigint from earshot.settings s
  union all
  select 'documents', extract(epoch from s.keep_documents)::float8, (select count(*) from earshot.expired_documents), null from earshot.settings s
  union all
  select 'media', extract(epoch from s.keep_uploads)::float8, count(u.hash), coalesce(sum(u.size) filter (where right(u.path, 64) = u.hash), 0)::bigint
    from earshot.settings s left join earshot.unneeded_media u on true group by s.keep_uploads
  union all
  select 'archived', extract(epoch from s.keep_archived)::float8,
    (select count(*) from earshot.jobs_archive a where a.archived_at < now() - (select keep_archived from earshot.settings)), null from earshot.settings s
  union all
  select 'events', extract(epoch from s.keep_events)::float8,
    (select count(*) from earshot.events e where e.job_id is null and e.at < now() - (select keep_events from earshot.settings)), null from earshot.settings s
$$;
