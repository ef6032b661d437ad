-- Makes freshly submitted jobs wait for their parents. Called by submit_jobs, in its transaction.
--   p_made  [{ord, id, duplicate, after}]; check_jobs has looked at after
-- The parents' rows are held shared until the commit: a parent that ends meanwhile waits for it,
-- and then finds its children. One that was deleted since check_jobs saw it is refused (22023).
create or replace function earshot.wait_for_parents(p_made jsonb) returns void
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_parents bigint[];
  v_gone bigint;
begin
  if not jsonb_path_exists(p_made, '$[*].after[*] ? (@ != null)') then
    return;
  end if;
  insert into earshot.job_parents (job_id, parent_id, policy)
  select distinct on (c.id, parent_id) c.id, coalesce(b.id, q.job::bigint) as parent_id, q.policy
  from jsonb_to_recordset(p_made) c (id bigint, duplicate boolean, after jsonb)
  cross join lateral jsonb_array_elements(c.after) p (parent)
  cross join lateral (select case jsonb_typeof(p.parent) when 'object' then p.parent ->> 'job' else p.parent #>> '{}' end as job,
    case jsonb_typeof(p.parent) when 'object' then coalesce(p.parent ->> 'policy', 'fail') else 'fail' end as policy) q
  left join jsonb_to_recordset(p_made) b (ord int, id bigint) on q.job = '#' || b.ord
  where not c.duplicate and jsonb_typeof(c.after) = 'array'
  order by c.id, parent_id, q.policy;
  select array_agg(distinct p.parent_id) into v_parents
    from earshot.job_parents p join jsonb_to_recordset(p_made) c (id bigint, duplicate boolean) on c.id = p.job_id and not c.duplicate;
  perform from earshot.jobs j where j.id = any (v_parents) order by j.id for share;
  perform from earshot.jobs_archive a where a.id = any (v_parents) order by a.id for share;
  select min(p.id) into v_gone from unnest(v_parents) p (id) where not exists (select from earshot.all_jobs j where j.id = p.id);
  if v_gone is not null then
    raise exception 'after names job %, which was deleted meanwhile.', v_gone using errcode = '22023';
  end if;
  update earshot.jobs j set status = 'blocked', waiting_on = n.parents
  from (select p.job_id, count(*)::int as parents from earshot.job_parents p
        join jsonb_to_recordset(p_made) c (id bigint, duplicate boolean) on c.id = p.job_id and not c.duplicate group by 1) n
  where j.id = n.job_id and j.status = 'pending';
  -- Those that have ended already, also long ago, count at once.
  perform earshot.release_children((select array_agg(j.id) from earshot.all_jobs j
    where j.id = any (v_parents) and j.status in ('completed', 'failed', 'cancelled')));
end $$;
