-- Makes kinds of the users' own known, so that jobs of them may be submitted and wait for a node
-- that runs them.
--   p_kinds  [{kind, role, priority?, max_tries?, class?, silence_s?, payload_schema?,
--     result_schema?}]; schemas are JSON Schema, draft 7
-- Returns the kinds that are new or were changed. A kind that is known under another definition
-- takes the new one: the newest wins, for jobs that are submitted from now on. Kinds that share a
-- role may be run by different workers: from the second on, their jobs require that a node has
-- them. Refuses (22023) all of them when one takes the name or a role of a built-in kind (every
-- worker that offers that role would be given jobs it cannot run), or changes the role of a kind
-- whose jobs are open: they wait in the lane of the old one.
create or replace function earshot.register_kinds(p_kinds jsonb) returns setof text
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_wrong text;
begin
  if p_kinds is null or jsonb_typeof(p_kinds) <> 'array' then
    raise exception 'register_kinds takes a JSON array of kinds.' using errcode = '22023';
  end if;
  -- One after the other: what is new to one may share a role with what is new to the other.
  lock table earshot.job_kinds in share row exclusive mode;
  select w.wrong into v_wrong
  from jsonb_array_elements(p_kinds) with ordinality a (def, ord)
  left join earshot.job_kinds k on k.kind = a.def ->> 'kind'
  cross join lateral (select case
    when coalesce(a.def ->> 'kind', '') !~ '^[a-z][a-z0-9_.-]{0,63}$' then
      format('"%s" is no name for a kind: expected small letters, digits, dots, dashes and underscores, up to 64, a letter first.', a.def ->> 'kind')
    when coalesce(a.def ->> 'role', '') !~ '^[a-z][a-z0-9_]{0,63}$' then
      format('"%s" is no role for kind "%s": expected small letters, digits and underscores, up to 64, a letter first.', a.def ->> 'role', a.def ->> 'kind')
    when k.built_in then format('"%s" is a kind of Earshot''s own; give yours another name.', k.kind)
    when exists (select from earshot.job_kinds b where b.built_in and b.role = a.def ->> 'role') then
      format('Role "%s" belongs to Earshot''s own kinds; give kind "%s" another one.', a.def ->> 'role', a.def ->> 'kind')
    when k.role <> a.def ->> 'role' and exists (select from earshot.jobs j
        where j.kind = k.kind and j.status in ('blocked', 'pending', 'assigned', 'running')) then
      format('Kind "%s" has open jobs, which need role "%s"; its role can change to "%s" once they have ended.', k.kind, k.role, a.def ->> 'role')
  end as wrong) w
  where w.wrong is not null order by a.ord limit 1;
  if v_wrong is not null then
    raise exception '%', v_wrong using errcode = '22023';
  end if;
  return query
  insert into earshot.job_kinds as k (kind, role, priority, max_tries, class, silence, required, payload_schema, result_schema)
    select distinct on (a.def ->> 'kind') a.def ->> 'kind', a.def ->> 'role', coalesce((a.def ->> 'priority')::int, 0), coalesce((a.def ->> 'max_tries')::int, 3),
      coalesce(a.def ->> 'class', 'batch'), make_interval(secs => coalesce((a.def ->> 'silence_s')::double precision, 600)),
      array(select r.field from jsonb_array_elements_text(coalesce(a.def #> '{payload_schema,required}', '[]')) r (field)),
      a.def -> 'payload_schema', a.def -> 'result_schema'
    from jsonb_array_elements(p_kinds) with ordinality a (def, ord) order by a.def ->> 'kind', a.ord desc
  on conflict (kind) do update set role = excluded.role, priority = excluded.priority, max_tries = excluded.max_tries, class = excluded.class, silence = excluded.silence,
    required = excluded.required, payload_schema = excluded.payload_schema, result_schema = excluded.result_schema, registered_at = now()
    where (k.role, k.priority, k.max_tries, k.class, k.silence, k.payload_schema, k.result_schema) is distinct from
      (excluded.role, excluded.priority, excluded.max_tries, excluded.class, excluded.silence, excluded.payload_schema, excluded.result_schema)
  returning k.kind;
  update earshot.job_kinds k set requires = jsonb_build_object('kind:' || k.kind, true)
  where not k.built_in and k.requires = '{}' and exists (select from earshot.job_kinds o where o.role = k.role and o.kind <> k.kind);
end $$;
