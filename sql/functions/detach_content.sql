-- A path of an inbox no longer has its content. Where the same content lies under another path of
-- this inbox, that is where it is from now on; where another coordinator has it too, it is done
-- from there; otherwise the open job that needs it ends with this code and sentence. What was heard
-- already stays.
create or replace function earshot.detach_content(p_file earshot.inbox_files, p_code text, p_sentence text) returns void
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_other text;
begin
  -- Media that was sent to the coordinator lies in its own store, which no inbox touches.
  if not exists (select from earshot.media m where m.hash = p_file.hash and m.holder = p_file.holder and m.path = p_file.location) then
    return;
  end if;
  select f.location into v_other from earshot.inbox_files f
    where f.holder = p_file.holder and f.hash = p_file.hash and f.path <> p_file.path limit 1;
  if v_other is not null then
    update earshot.media m set path = v_other where m.hash = p_file.hash and m.holder = p_file.holder;
    return;
  end if;
  if exists (select from earshot.media m where m.hash = p_file.hash and m.holder <> p_file.holder and (
      -- In that coordinator's own store, where files are named by their hash, or in its inbox.
      right(m.path, 64) = m.hash or exists (select from earshot.inbox_files f where f.holder = m.holder and f.hash = m.hash))) then
    delete from earshot.media m where m.hash = p_file.hash and m.holder = p_file.holder;
    return;
  end if;
  perform earshot.end_jobs(
    (select array_agg(j.id) from earshot.jobs j
     where j.document_id = p_file.document_id and j.kind in ('transcribe', 'read') and j.status in ('pending', 'assigned', 'running')),
    'failed', p_code, p_sentence);
end $$;
