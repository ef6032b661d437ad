-- Jobs have ended, just now or long ago: what waited for them goes on. One statement carries the
-- news through all generations: a parent's success, or a policy of run, counts down; otherwise the
-- child fails or is skipped, and so on below it. A child left without parents to wait for becomes
-- pending. Called by whatever ends jobs, in its transaction and after its own update, so that a
-- child that was submitted meanwhile (it holds its parents' rows shared until its commit) is seen
-- here.
create or replace function earshot.release_children(p_ids bigint[]) returns void
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_failed boolean;
  v_held int := 0;
  v_before int;
  v_freed int;
begin
  if not exists (select from earshot.job_parents p where p.parent_id = any (p_ids) and not p.counted) then
    return;
  end if;
  v_failed := exists (select from earshot.all_jobs e where e.id = any (p_ids) and e.status in ('failed', 'cancelled'));
  -- Whatever may change below is locked first, in one order, and looked at afterwards: two parents
  -- that end at once must not both carry on through the same child. While this waits for a row, a
  -- job may be submitted below it, and another below that: it looks again until it holds all there
  -- is. Below a row that is held nothing can be submitted.
  loop
    v_before := v_held;
    select count(*) into v_held from (
      select j.id from earshot.jobs j where j.id in (
          with recursive below (id) as (
            select p.job_id from earshot.job_parents p where p.parent_id = any (p_ids) and not p.counted
            union
            select p.job_id from below b join earshot.job_parents p on p.parent_id = b.id where v_failed
          ) select b.id from below b)
        and j.status = 'blocked' order by j.id for update) h;
    exit when v_held = v_before or not v_failed;
  end loop;
  with recursive news (id, good) as (
    select j.id, j.status = 'completed' from earshot.all_jobs j where j.id = any (p_ids) and j.status in ('completed', 'failed', 'cancelled')
    union
    select p.job_id, false from news n
    join earshot.job_parents p on p.parent_id = n.id and not p.counted and not n.good and p.policy <> 'run'
    join earshot.jobs c on c.id = p.job_id and c.status = 'blocked'
  ), doomed as (
    -- Where parents of a child ask for different ends, failing is the louder one.
    select p.job_id as id, bool_or(p.policy = 'fail') as fails, min(p.parent_id) as parent
    from news n join earshot.job_parents p on p.parent_id = n.id and not p.counted and not n.good and p.policy <> 'run'
    group by 1
  ), edges as (
    update earshot.job_parents p set counted = true from (select distinct id from news) n
    where p.parent_id = n.id and not p.counted
    returning p.job_id
  ), counted as (
    select e.job_id as id, count(*)::int as ended from edges e group by 1
  ), changed as (
    update earshot.jobs j
    set waiting_on = j.waiting_on - c.ended,
      status = case when d.id is not null then case when d.fails then 'failed' else 'cancelled' end
        when j.waiting_on - c.ended = 0 then 'pending' else 'blocked' end,
      finished_at = case when d.id is not null then now() end,
      -- The clock and not now(): this transaction may have begun before the one that submitted the
      -- child.
      due = j.run_at <= clock_timestamp(),
      error_code = case when d.fails then 'EARSHOT_PARENT_FAILED' when d.id is not null then 'EARSHOT_SKIPPED' end,
      error = case when d.id is not null then format('Job %s, which it waited for, did not succeed.', d.parent) end
    from counted c left join doomed d on d.id = c.id
    where j.id = c.id and j.status = 'blocked'
    returning j.id, j.tenant_id, j.document_id, j.status, j.kind, j.error, j.error_code
  ), documents as (
    update earshot.documents d set status = 'failed', error = c.error, error_code = c.error_code
    from changed c where d.id = c.document_id and c.status in ('failed', 'cancelled') and d.status in ('queued', 'processing')
      and not earshot.has_open_work(d.id, array(select x.id from changed x where x.status in ('failed', 'cancelled')))
    returning d.id, d.tenant_id, d.error, d.error_code
  ), told as (
    insert into earshot.events (tenant_id, type, job_id, document_id, data)
    select c.tenant_id, 'job.' || c.status, c.id, c.document_id, jsonb_build_object('kind', c.kind, 'code', c.error_code, 'message', c.error)
    from changed c where c.status in ('failed', 'cancelled')
    union all
    select d.tenant_id, 'document.failed', null, d.id, jsonb_build_object('code', d.error_code, 'message', d.error) from documents d
  )
  select count(*) filter (where c.status = 'pending') into v_freed from changed c;
  if v_freed > 0 then
    perform earshot.ring_doorbell();
  end if;
end $$;
