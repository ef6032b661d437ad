-- Whether a job is open that will make this document ready, or end it. Embedding it by a further
-- model does neither.
--   p_except  jobs that end in the very statement that asks
create or replace function earshot.has_open_work(p_document bigint, p_except bigint[] default '{}') returns boolean
language sql stable security definer set search_path = earshot, pg_temp
as $$
  select exists (select from earshot.jobs j
    where j.document_id = p_document and j.status in ('blocked', 'pending', 'assigned', 'running') and j.id <> all (p_except)
      and (j.kind in ('transcribe', 'read') or j.kind = 'embed' and not j.payload ? 'model'))
$$;
