-- The segments of a document, transcribed or read, and the follow-on job that makes them findable.
-- A repeat replaces what was there, unless a later one was done while it ran. An embed job that has
-- the replaced segments in hand goes back: its result would cover the new ones.
create or replace function earshot.store_segments(p_job earshot.jobs, p_node text, p_output jsonb) returns jsonb
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_count int;
  v_later bigint;
begin
  select max(j.id) into v_later from earshot.all_jobs j where j.document_id = p_job.document_id and j.kind in ('transcribe', 'read')
    and j.id > p_job.id and j.status = 'completed' and j.finished_at >= p_job.assigned_at;
  if v_later is not null then
    return jsonb_build_object('document_id', p_job.document_id, 'segments', 0, 'superseded_by', v_later);
  end if;
  update earshot.documents d
  set status = 'processing', ready_at = null, error = null, error_code = null, node = p_node,
    engine = p_output ->> 'engine', duration_s = (p_output ->> 'duration_s')::double precision,
    level_db = (p_output ->> 'level_db')::double precision, warnings = coalesce(p_output -> 'warnings', '[]')
  where d.id = p_job.document_id;
  if not found then
    raise exception 'document % is gone', coalesce(p_job.document_id::text, '(none)');
  end if;
  delete from earshot.segments s where s.document_id = p_job.document_id;
  insert into earshot.segments (tenant_id, document_id, ordinal, start_s, end_s, text, confidence, words)
    select p_job.tenant_id, p_job.document_id, s.place - 1, (s.seg ->> 'start_s')::double precision, (s.seg ->> 'end_s')::double precision,
      s.seg ->> 'text', (s.seg ->> 'confidence')::real, coalesce(s.seg -> 'words', '[]')
    from jsonb_array_elements(p_output -> 'segments') with ordinality s (seg, place);
  get diagnostics v_count = row_count;
  -- One that is just being finished is passed over: what it stores, the new one replaces.
  perform earshot.requeue_jobs(array(select j.id from earshot.jobs j
      where j.document_id = p_job.document_id and j.kind = 'embed' and not j.payload ? 'model' and j.status in ('assigned', 'running')
      order by j.id for update skip locked),
    'What it was to embed was transcribed again.', 'lost');
  perform earshot.submit_job('embed', jsonb_build_object('document_id', p_job.document_id), tenant => p_job.tenant_id,
    -- Who waits for the words waits for finding them, too.
    class => case when p_job.class = 'interactive' then p_job.class end);
  return jsonb_strip_nulls(jsonb_build_object('document_id', p_job.document_id, 'duration_s', p_output -> 'duration_s',
    'engine', p_output -> 'engine', 'segments', v_count, 'level_db', p_output -> 'level_db', 'no_speech', p_output -> 'no_speech',
    'warnings', p_output -> 'warnings'));
end $$;
