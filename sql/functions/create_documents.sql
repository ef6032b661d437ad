-- Gives each recording or text that is submitted without a document one, under its content's hash:
-- what is heard must belong somewhere; but for `store: false`, which asks for the words alone. One
-- that is there is left as it is. Refuses (22023) media that no coordinator holds. Called by
-- submit_jobs, in its transaction.
--   p_known  {key: id} of jobs that were submitted before; a repeat needs no document
create or replace function earshot.create_documents(p_jobs jsonb, p_tenant text, p_known jsonb) returns jsonb
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_job jsonb;
  v_place int;
  v_hash text;
  v_id bigint;
begin
  for v_job, v_place in
    select a.job, a.ord - 1 from jsonb_array_elements(p_jobs) with ordinality a (job, ord)
    where a.job ->> 'kind' in ('transcribe', 'read') and a.job -> 'payload' ->> 'document_id' is null
      and not p_known ? coalesce(a.job ->> 'idempotency_key', '')
  loop
    v_hash := v_job -> 'payload' ->> 'media';
    -- Locked, so that forget_media does not take it away before this commits.
    perform from earshot.media m where m.hash = v_hash order by m.holder for key share;
    if not found then
      raise exception 'Job %: no coordinator holds media %.', v_place + 1, v_hash using errcode = '22023';
    end if;
    continue when v_job -> 'payload' -> 'store' = 'false';
    insert into earshot.documents (tenant_id, corpus_id, title, kind, media_hash)
      select p_tenant, c.id, coalesce(v_job -> 'payload' ->> 'title', left(v_hash, 12)),
        case v_job ->> 'kind' when 'read' then 'text' else 'audio' end, v_hash
      from earshot.corpora c where c.tenant_id = p_tenant and c.name = 'default'
      on conflict (tenant_id, corpus_id, media_hash) where media_hash is not null do nothing;
    select d.id into v_id from earshot.documents d join earshot.corpora c on c.id = d.corpus_id
      where d.tenant_id = p_tenant and c.name = 'default' and d.media_hash = v_hash;
    p_jobs := jsonb_set(p_jobs, array[v_place::text, 'payload', 'document_id'], to_jsonb(v_id));
  end loop;
  return p_jobs;
end $$;
