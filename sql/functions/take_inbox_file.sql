-- Takes in a whole file of an inbox: submit_document and the inbox's own row, in one transaction.
-- May be repeated. A path that was known with other content leaves that content first.
create or replace function earshot.take_inbox_file(
  p_holder text, p_path text, p_location text, p_size bigint, p_mtime_ns bigint, p_hash text, p_kind text
) returns table (document_id bigint, job_id bigint, duplicate boolean)
language plpgsql security definer set search_path = earshot, pg_temp
as $$
#variable_conflict use_variable
declare
  v_known earshot.inbox_files;
begin
  select * into v_known from earshot.inbox_files f where f.holder = p_holder and f.path = p_path for update;
  if v_known.hash <> p_hash then
    perform earshot.detach_content(v_known, 'EARSHOT_MEDIA_CHANGED', format('“%s” changed after it was taken in. What was heard of it is dropped; the file as it is now is taken in anew.', p_path));
  end if;
  select s.document_id, s.job_id, s.duplicate into document_id, job_id, duplicate
    from earshot.submit_document(p_hash, p_size, p_holder, p_location, p_path, p_kind) s;
  insert into earshot.inbox_files (holder, path, location, size, mtime_ns, hash, status, document_id)
    values (p_holder, p_path, p_location, p_size, p_mtime_ns, p_hash,
      case when not duplicate then 'taken' when v_known.hash = p_hash then v_known.status else 'duplicate' end, document_id)
    on conflict on constraint inbox_files_pkey do update set location = excluded.location, size = excluded.size, mtime_ns = excluded.mtime_ns,
      hash = excluded.hash, status = excluded.status, document_id = excluded.document_id, error = null, error_code = null, seen_at = now();
  return next;
end $$;
