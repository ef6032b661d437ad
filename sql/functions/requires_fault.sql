-- What is wrong with the needs of a job or kind, as a sentence; null when they are right. The same
-- rules as Requires in packages/contract/src/api.ts: a value, true or false for presence, {"not":
-- value}, or bounds that are numbers; at most 100 tags.
create or replace function earshot.requires_fault(p_requires jsonb) returns text
language plpgsql immutable set search_path = earshot, pg_temp
as $$
begin
  if p_requires = '{}' then
    return null;
  elsif jsonb_typeof(p_requires) is distinct from 'object' then
    return 'requires is no JSON object.';
  elsif (select count(*) from jsonb_object_keys(p_requires)) > 100 then
    return 'requires names more than 100 tags.';
  end if;
  return (select format('requires.%s is %s; expected a text, a number, true, false, {"not": value} or bounds such as {">=": 8}.',
      r.key, left(r.value::text, 100))
    from jsonb_each(p_requires) r
    where r.key = '' or not case jsonb_typeof(r.value)
      when 'string' then true when 'number' then true when 'boolean' then true
      when 'object' then r.value <> '{}' and case when r.value ? 'not'
        then r.value - 'not' = '{}' and jsonb_typeof(r.value -> 'not') in ('string', 'number')
        else not exists (select from jsonb_each(r.value) b where b.key not in ('>=', '>', '<=', '<') or jsonb_typeof(b.value) <> 'number') end
      else false end
    order by r.key limit 1);
end $$;
