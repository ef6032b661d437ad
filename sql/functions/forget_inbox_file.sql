-- A file of an inbox is really gone: its row goes, and its content is left.
create or replace function earshot.forget_inbox_file(p_holder text, p_path text) returns void
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_known earshot.inbox_files;
begin
  delete from earshot.inbox_files f where f.holder = p_holder and f.path = p_path returning * into v_known;
  if v_known.hash is not null then
    perform earshot.detach_content(v_known, 'EARSHOT_MEDIA_GONE', format('“%s” was removed from the inbox before it was done.', p_path));
  end if;
end $$;
