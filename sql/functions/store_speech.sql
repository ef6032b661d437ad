-- Speech that was made: the worker has sent the file to a coordinator before it reports.
create or replace function earshot.store_speech(p_job earshot.jobs, p_node text, p_output jsonb) returns jsonb
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_id bigint;
begin
  perform from earshot.media m where m.hash = p_output ->> 'media' order by m.holder for key share;
  if not found then
    raise exception 'no coordinator holds media %', p_output ->> 'media';
  end if;
  insert into earshot.artifacts (tenant_id, kind, media_hash, mime, text, duration_s, engine, node, job_id)
    values (p_job.tenant_id, 'speech', p_output ->> 'media', coalesce(p_output ->> 'mime', 'audio/wav'), p_job.payload ->> 'text',
      (p_output ->> 'duration_s')::double precision, p_output ->> 'engine', p_node, p_job.id)
    returning id into v_id;
  return jsonb_strip_nulls(jsonb_build_object('artifact_id', v_id, 'duration_s', p_output -> 'duration_s', 'engine', p_output -> 'engine',
    'model', p_output -> 'model', 'mime', p_output -> 'mime'));
end $$;
