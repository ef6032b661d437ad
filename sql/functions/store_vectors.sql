-- The vectors of a document's chunks by the model that its job names. Those of chunks that were
-- replaced meanwhile are passed over, and all of them where documents are embedded by another model
-- by now. Refuses vectors of another size than the model's others.
create or replace function earshot.store_vectors(p_job earshot.jobs, p_output jsonb) returns jsonb
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_model text := p_job.payload ->> 'model';
  v_size int;
  v_now record;
  v_count int := 0;
begin
  -- Held, so that its chunks are not replaced meanwhile.
  perform from earshot.documents d where d.id = p_job.document_id for no key update;
  if not found then
    raise exception 'document % is gone', coalesce(p_job.document_id::text, '(none)');
  end if;
  if jsonb_array_length(p_output -> 'vectors') > 0 then
    v_size := public.vector_dims((p_output -> 'vectors' -> 0 ->> 'embedding')::public.vector);
    -- The first ones say what the size is.
    update earshot.settings s set embed_dimensions = v_size where s.embed_model = v_model and s.embed_dimensions is null;
    select s.embed_model, s.embed_dimensions into v_now from earshot.settings s;
    if v_now.embed_model = v_model then
      if exists (select from jsonb_array_elements(p_output -> 'vectors') v where public.vector_dims((v ->> 'embedding')::public.vector) <> v_now.embed_dimensions) then
        raise exception 'model "%" makes vectors of % dimensions here, and those of other documents have %', v_model, v_size, v_now.embed_dimensions;
      end if;
      insert into earshot.chunk_vectors (chunk_id, model, embedding)
        select c.id, v_model, (v ->> 'embedding')::public.vector
        from jsonb_array_elements(p_output -> 'vectors') v join earshot.chunks c on c.id = (v ->> 'chunk')::bigint and c.document_id = p_job.document_id
        on conflict (chunk_id, model) do update set embedding = excluded.embedding;
      get diagnostics v_count = row_count;
    end if;
  end if;
  return jsonb_build_object('document_id', p_job.document_id, 'model', v_model, 'chunks', v_count);
end $$;
