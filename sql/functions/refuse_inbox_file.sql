-- A file of an inbox that is not taken in: a document and a job that are failed from the start, so
-- that people find the reason where they look for it, and the inbox's row, so that it is not
-- refused again at every look. May be repeated: what was refused with these very words answers with
-- what was made then.
create or replace function earshot.refuse_inbox_file(
  p_holder text, p_path text, p_size bigint, p_mtime_ns bigint, p_kind text, p_code text, p_error text, p_tenant text default 'default'
) returns table (document_id bigint, job_id bigint)
language plpgsql security definer set search_path = earshot, pg_temp
as $$
#variable_conflict use_variable
begin
  select f.document_id, max(j.id) into document_id, job_id from earshot.inbox_files f join earshot.all_jobs j on j.document_id = f.document_id
    where f.holder = p_holder and f.path = p_path and f.status = 'refused' and f.error = p_error group by f.document_id;
  if found then
    return next;
    return;
  end if;
  insert into earshot.documents (tenant_id, corpus_id, title, kind, status, error, error_code)
    select p_tenant, c.id, p_path, p_kind, 'failed', p_error, p_code
    from earshot.corpora c where c.tenant_id = p_tenant and c.name = 'default' returning id into document_id;
  insert into earshot.jobs (tenant_id, kind, role, payload, status, error, error_code, document_id, finished_at)
    select p_tenant, k.kind, k.role, jsonb_build_object('document_id', document_id, 'title', earshot.job_title(p_path)), 'failed', p_error, p_code, document_id, now()
    from earshot.job_kinds k where k.kind = case p_kind when 'text' then 'read' else 'transcribe' end returning id into job_id;
  insert into earshot.inbox_files (holder, path, size, mtime_ns, status, document_id, error, error_code)
    values (p_holder, p_path, p_size, p_mtime_ns, 'refused', document_id, p_error, p_code)
    on conflict on constraint inbox_files_pkey do update set size = excluded.size, mtime_ns = excluded.mtime_ns, hash = null, status = 'refused',
      document_id = excluded.document_id, error = excluded.error, error_code = excluded.error_code, seen_at = now();
  insert into earshot.events (tenant_id, type, job_id, document_id, data)
    values (p_tenant, 'document.failed', job_id, document_id, jsonb_build_object('code', p_code, 'message', p_error));
  perform pg_notify('earshot', 'events');
  return next;
end $$;
