-- A document's segments, for the worker that cuts and embeds them.
create or replace function earshot.read_segments(p_document bigint) returns table (start_s double precision, end_s double precision, text text, confidence real, words jsonb)
language sql stable security definer set search_path = earshot, pg_temp
as $$
  select s.start_s, s.end_s, s.text, s.confidence, s.words from earshot.segments s where s.document_id = p_document order by s.ordinal
$$;
