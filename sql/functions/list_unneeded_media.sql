-- Looks through what a coordinator holds for media that nothing refers to, the next p_limit rows
-- after a hash: the cost of one look has a bound.
--   p_after  the last hash of the look before; '' begins
-- Returns {last: the last hash looked at, null when this look reached the end; hashes}.
create or replace function earshot.list_unneeded_media(p_holder text, p_after text, p_limit int default 2000) returns jsonb
language plpgsql stable security definer set search_path = earshot, pg_temp
set enable_seqscan = off set jit = off
as $$
declare
  v_hashes text[] := array(select m.hash from earshot.media m
    where m.hash > p_after and m.holder = p_holder order by m.hash limit p_limit);
begin
  return jsonb_build_object(
    'last', case when cardinality(v_hashes) = p_limit then v_hashes[p_limit] end,
    'hashes', (select coalesce(jsonb_agg(u.hash), '[]') from earshot.unneeded_media u
      where u.holder = p_holder and u.hash = any (v_hashes)));
end $$;
