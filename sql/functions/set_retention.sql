-- Sets how long things are kept, where a leader's settings say so; what they do not say stays as it
-- was.
--   p_term   acts only while this term leads
--   p_given  seconds by what is kept: {"completed", "failed", "archived", "events", "nodes",
--     "speech", "uploads", "documents", "media"}, each optional
create or replace function earshot.set_retention(p_term bigint, p_given jsonb) returns void
language sql security definer set search_path = earshot, pg_temp
as $$
  update earshot.settings s
  set keep_completed = coalesce(make_interval(secs => (p_given ->> 'completed')::float8), s.keep_completed),
    keep_failed = coalesce(make_interval(secs => (p_given ->> 'failed')::float8), s.keep_failed),
    keep_archived = coalesce(make_interval(secs => (p_given ->> 'archived')::float8), s.keep_archived),
    keep_events = coalesce(make_interval(secs => (p_given ->> 'events')::float8), s.keep_events),
    keep_nodes = coalesce(make_interval(secs => (p_given ->> 'nodes')::float8), s.keep_nodes),
    keep_speech = coalesce(make_interval(secs => (p_given ->> 'speech')::float8), s.keep_speech),
    keep_uploads = coalesce(make_interval(secs => (p_given ->> 'uploads')::float8), s.keep_uploads),
    keep_documents = coalesce(make_interval(secs => (p_given ->> 'documents')::float8), s.keep_documents),
    keep_media = coalesce(make_interval(secs => (p_given ->> 'media')::float8), s.keep_media)
  where earshot.is_leading(p_term) and p_given <> '{}'
$$;
