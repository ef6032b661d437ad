-- A document's chunks, for the worker that embeds them by a model.
create or replace function earshot.read_chunks(p_document bigint) returns table (id bigint, text text)
language sql stable security definer set search_path = earshot, pg_temp
as $$
  select c.id, c.text from earshot.chunks c where c.document_id = p_document order by c.ordinal
$$;
