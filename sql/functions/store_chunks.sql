-- The chunks and vectors of a document; with them it is ready.
create or replace function earshot.store_chunks(p_job earshot.jobs, p_output jsonb) returns jsonb
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_count int;
begin
  -- Vectors of other models go with the chunks they were made of; reconcile_vectors asks for new
  -- ones.
  update earshot.documents d set status = 'ready', ready_at = now(), error = null, error_code = null, vectors_of = ''
    where d.id = p_job.document_id and d.status in ('processing', 'ready');
  if not found then
    raise exception 'document % is gone or has failed', coalesce(p_job.document_id::text, '(none)');
  end if;
  delete from earshot.chunks c where c.document_id = p_job.document_id;
  insert into earshot.chunks (tenant_id, document_id, ordinal, start_s, end_s, text, model, embedding)
    select p_job.tenant_id, p_job.document_id, c.place - 1, (c.chunk ->> 'start_s')::double precision, (c.chunk ->> 'end_s')::double precision,
      c.chunk ->> 'text', c.chunk ->> 'model', (c.chunk ->> 'embedding')::public.vector
    from jsonb_array_elements(p_output -> 'chunks') with ordinality c (chunk, place);
  get diagnostics v_count = row_count;
  insert into earshot.events (tenant_id, type, document_id, data)
    values (p_job.tenant_id, 'document.ready', p_job.document_id, jsonb_build_object('chunks', v_count));
  return jsonb_build_object('document_id', p_job.document_id, 'chunks', v_count);
end $$;
