-- Deletes speech and documents that are kept no longer, with all that was made of the documents and
-- their events; up to p_limit of each at a time. Files are another matter: forget_media.
--   p_term  acts only while this term leads; null: a person asked
-- Returns how many went, of the sort of which more went.
create or replace function earshot.prune_content(p_term bigint, p_limit int default 1000) returns int
language plpgsql security definer set search_path = earshot, pg_temp set jit = off
as $$
declare
  v_ids bigint[];
  v_speech int;
  v_last record;
begin
  if p_term is not null and not earshot.is_leading(p_term) then
    return 0;
  end if;
  delete from earshot.artifacts a
    where a.id = any (array(select e.id from earshot.expired_speech e order by e.created_at limit p_limit));
  get diagnostics v_speech = row_count;
  -- Held first and looked at again: a job for one of them may have been submitted meanwhile.
  v_ids := array(select d.id from earshot.documents d
    where d.id = any (array(select e.id from earshot.expired_documents e order by coalesce(e.ready_at, e.created_at) limit p_limit))
    order by d.id for update skip locked);
  v_ids := array(select e.id from earshot.expired_documents e where e.id = any (v_ids));
  delete from earshot.documents d where d.id = any (v_ids);
  with events as (
    delete from earshot.events e where e.document_id = any (v_ids) and e.job_id is null returning e.xid, e.id
  )
  select e.xid, e.id into v_last from events e order by e.xid desc, e.id desc limit 1;
  if found then
    perform earshot.record_pruned_events(v_last.xid, v_last.id);
  end if;
  return greatest(v_speech, cardinality(v_ids));
end $$;
