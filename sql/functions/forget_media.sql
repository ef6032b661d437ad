-- Forgets that a coordinator holds media that nothing refers to. The coordinator deletes the file
-- of its store before this transaction ends.
-- Precondition: unneeded. Whatever refers to media locks its row first, so that this row is held
-- here before it is looked at again; one that is locked is left for the next time.
-- Returns the path, or null where it is needed.
create or replace function earshot.forget_media(p_holder text, p_hash text) returns text
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_path text;
begin
  perform from earshot.media m where m.holder = p_holder and m.hash = p_hash for update skip locked;
  if not found then
    return null;
  end if;
  delete from earshot.media m
    where m.holder = p_holder and m.hash = p_hash
      and exists (select from earshot.unneeded_media u where u.holder = p_holder and u.hash = p_hash)
    returning m.path into v_path;
  return v_path;
end $$;
