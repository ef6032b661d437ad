-- Keeps the vectors of documents in step with the model that the settings name, a bounded part of
-- it a call. Acts only while this term leads. In this order: the index over the model's vectors,
-- where it is not there yet; embed jobs for documents that are ready and were not asked for by this
-- model (no more than 100 wait for a node at a time, however many documents there are); once there
-- are none, and vectors of the model are there, those of former models go; then their indexes.
-- Returns how many documents were asked for, and how many vectors were removed. Without sequential
-- scans: a plan of before the table was analyzed would read all vectors at each call.
create or replace function earshot.reconcile_vectors(p_term bigint) returns table (asked int, removed int)
language plpgsql security definer set search_path = earshot, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  -- More dimensions than these HNSW does not take; then the search compares with each vector.
  c_most_dimensions constant int := 2000;
  c_most_waiting constant int := 100;
  -- What is new becomes searchable first.
  c_priority constant int := -10;
  v_model text;
  v_dimensions int;
  v_index text;
  v_former text;
  v_room int;
  v_documents bigint[];
begin
  asked := 0;
  removed := 0;
  if not earshot.is_leading(p_term) then
    return next;
    return;
  end if;
  select nullif(s.embed_model, 'lexical-384'), s.embed_dimensions into v_model, v_dimensions from earshot.settings s;
  if v_model is not null and v_dimensions <= c_most_dimensions then
    v_index := format('chunk_vectors_hnsw_%s_%s', v_dimensions, left(md5(v_model), 12));
    if to_regclass('earshot.' || v_index) is null then
      execute format('create index %I on earshot.chunk_vectors using hnsw ((embedding::public.vector(%s)) public.vector_cosine_ops) where model = %L', v_index, v_dimensions, v_model);
      -- Its lock on the table is held for nothing else.
      return next;
      return;
    end if;
  end if;

  if v_model is null then
    v_room := 1000;
  else
    select c_most_waiting - count(*) into v_room from (select from earshot.jobs j
      where j.status = 'pending' and j.due and j.lane = hashtextextended('rag_engine', jsonb_hash_extended(jsonb_build_object('model:' || v_model, true), 0)) limit c_most_waiting) w;
  end if;
  with due as (
    select d.id from earshot.documents d where d.id in (
      (select o.id from earshot.documents o where o.status = 'ready' and o.vectors_of < coalesce(v_model, '') order by o.vectors_of, o.id limit v_room)
      union all
      (select o.id from earshot.documents o where o.status = 'ready' and o.vectors_of > coalesce(v_model, '') order by o.vectors_of, o.id limit v_room))
    order by d.id limit v_room for update skip locked
  ), marked as (
    update earshot.documents d set vectors_of = coalesce(v_model, '') from due where d.id = due.id returning d.id
  )
  select array_agg(m.id) into v_documents from marked m;
  if v_documents is not null then
    asked := cardinality(v_documents);
    if v_model is not null then
      -- One whose vectors are there still, since the settings named this model before, needs none.
      perform earshot.submit_jobs(t.jobs, t.tenant_id) from (
        select d.tenant_id, jsonb_agg(jsonb_build_object('kind', 'embed', 'payload', jsonb_build_object('document_id', d.id, 'model', v_model), 'priority', c_priority) order by d.id) as jobs
        from earshot.documents d where d.id = any (v_documents)
          and exists (select from earshot.chunks c where c.document_id = d.id
            and not exists (select from earshot.chunk_vectors v where v.chunk_id = c.id and v.model = v_model))
        group by d.tenant_id) t;
    end if;
  elsif v_room > 0 and (v_model is null or v_dimensions is not null) then
    delete from earshot.chunk_vectors v where v.ctid = any (array(
      (select o.ctid from earshot.chunk_vectors o where o.model < coalesce(v_model, '') limit 1000)
      union all
      (select o.ctid from earshot.chunk_vectors o where o.model > coalesce(v_model, '') limit 1000)));
    get diagnostics removed = row_count;
    if removed = 0 then
      for v_former in
        select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid
        where i.indrelid = 'earshot.chunk_vectors'::regclass and c.relname like 'chunk\_vectors\_hnsw\_%' and c.relname is distinct from v_index
      loop
        execute format('drop index earshot.%I', v_former);
      end loop;
    end if;
  end if;
  return next;
end $$;
