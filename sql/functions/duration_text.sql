-- A length of time in words for people: 40 s, 7 min, 3 h, 2 d.
create or replace function earshot.duration_text(p_length interval) returns text
language sql immutable security definer set search_path = earshot, pg_temp
as $$
  select case
    when s < 120 then format('%s s', round(s))
    when s < 7200 then format('%s min', round(s / 60))
    when s < 172800 then format('%s h', round(s / 3600))
    else format('%s d', round(s / 86400)) end
  from (select extract(epoch from p_length)) l (s)
$$;
