-- A count that a node reports, such as its slots: a whole number from 0 to a million; 0 where it
-- reports anything else.
create or replace function earshot.as_count(p_value jsonb) returns int
language sql immutable set search_path = earshot, pg_temp
as $$
  select case when jsonb_typeof(p_value) = 'number' then case
    when p_value::numeric between 0 and 1000000 and p_value::numeric = trunc(p_value::numeric) then p_value::int else 0 end else 0 end
$$;
