-- Takes in one piece of media: the media row, the document and its job, in one transaction.
--   p_kind   'audio' (heard by transcribe) or 'text' (read by read)
--   p_class  interactive when someone waits for it; null: as its kind is
--   p_language  what is spoken, such as de: only nodes that hear it get the job
-- The same content again answers with the document there is (duplicate); one that had failed, or
-- that no open job works on, is tried again.
create or replace function earshot.submit_document(
  p_hash text, p_size bigint, p_holder text, p_path text, p_title text, p_kind text default 'audio',
  p_requires jsonb default '{}', p_tenant text default 'default', p_corpus text default 'default', p_class text default null, p_language text default null
) returns table (document_id bigint, job_id bigint, duplicate boolean)
language plpgsql security definer set search_path = earshot, pg_temp
as $$
#variable_conflict use_variable
declare
  v_corpus bigint;
  v_known earshot.documents;
begin
  insert into earshot.media as m (hash, size, holder, path) values (p_hash, p_size, p_holder, p_path)
    -- A file in the coordinator's own store is named by its hash; it wins over one in an inbox,
    -- which people may remove.
    on conflict on constraint media_pkey do update set path = excluded.path where m.path is distinct from excluded.path and right(m.path, 64) <> m.hash;
  select c.id into v_corpus from earshot.corpora c where c.tenant_id = p_tenant and c.name = p_corpus;
  if v_corpus is null then
    raise exception 'There is no corpus "%".', p_corpus using errcode = '22023';
  end if;
  insert into earshot.documents (tenant_id, corpus_id, title, kind, media_hash)
    values (p_tenant, v_corpus, p_title, p_kind, p_hash)
    on conflict (tenant_id, corpus_id, media_hash) where media_hash is not null do nothing
    returning id into document_id;
  duplicate := document_id is null;
  if duplicate then
    select * into v_known from earshot.documents d
      where d.tenant_id = p_tenant and d.corpus_id = v_corpus and d.media_hash = p_hash for update;
    document_id := v_known.id;
    if v_known.status = 'ready' or v_known.status <> 'failed' and earshot.has_open_work(v_known.id) then
      select max(j.id) into job_id from earshot.all_jobs j where j.document_id = v_known.id and j.kind in ('transcribe', 'read');
      return next;
      return;
    end if;
    -- Its name may be what was wrong: a text that was called .mp3.
    update earshot.documents d set title = p_title, kind = p_kind where d.id = v_known.id;
    duplicate := false;
  end if;
  job_id := earshot.submit_job(
    case p_kind when 'text' then 'read' else 'transcribe' end,
    jsonb_build_object('media', p_hash, 'document_id', document_id, 'title', earshot.job_title(p_title))
      || case when p_kind = 'audio' and p_language is not null then jsonb_build_object('language', p_language) else '{}'::jsonb end,
    requires => p_requires, tenant => p_tenant, class => p_class);
  return next;
end $$;
