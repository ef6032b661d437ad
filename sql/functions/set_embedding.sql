-- Says by which model documents are embedded besides the lexical one (lexical-384: by none), and
-- from which cosine on its vectors count (null: as is known of the model). Acts only while this
-- term leads. Embed jobs of any other model end; reconcile_vectors asks for their documents again
-- when that model is named again.
create or replace function earshot.set_embedding(p_term bigint, p_model text, p_floor real) returns void
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_ended bigint[];
begin
  update earshot.settings s set embed_floor = p_floor where earshot.is_leading(p_term) and s.embed_floor is distinct from p_floor;
  update earshot.settings s
  -- Vectors that it made before are still there, or some of them.
  set embed_model = p_model, embed_dimensions = (select public.vector_dims(v.embedding) from earshot.chunk_vectors v where v.model = p_model limit 1)
  where earshot.is_leading(p_term) and s.embed_model <> p_model;
  if found then
    v_ended := array(select earshot.end_jobs(
      (select array_agg(j.id) from earshot.jobs j where j.kind = 'embed' and j.payload ->> 'model' <> p_model and j.status in ('blocked', 'pending', 'assigned', 'running')),
      'cancelled', 'EARSHOT_CANCELLED', format('Documents are not embedded by this model any more, but by "%s".', p_model)));
    update earshot.documents d set vectors_of = ''
    from earshot.jobs j where j.id = any (v_ended) and d.id = j.document_id and d.vectors_of = j.payload ->> 'model';
  end if;
end $$;
