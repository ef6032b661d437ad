-- Stores what a kind's handler gave back and returns what is kept on the job. Called by
-- finish_jobs, in its transaction.
create or replace function earshot.store_output(p_job earshot.jobs, p_node text, p_output jsonb) returns jsonb
language plpgsql security definer set search_path = earshot, pg_temp
as $$
begin
  -- Asked for the words alone: there is no document.
  if p_job.kind = 'transcribe' and p_job.payload -> 'store' = 'false' then
    return p_output;
  end if;
  case p_job.kind
    when 'transcribe', 'read' then return earshot.store_segments(p_job, p_node, p_output);
    when 'embed' then return case when p_job.payload ? 'model' then earshot.store_vectors(p_job, p_output) else earshot.store_chunks(p_job, p_output) end;
    when 'speak' then return earshot.store_speech(p_job, p_node, p_output);
    else return p_output;
  end case;
end $$;
