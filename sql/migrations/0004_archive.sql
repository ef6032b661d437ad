-- Where finished jobs go, so that the hot table stays small; views read both.

create table earshot.jobs_archive (
  like earshot.jobs including defaults including comments,
  archived_at timestamptz not null default now(),
  primary key (id)
);
comment on table earshot.jobs_archive is 'Jobs that ended some time ago. earshot.all_jobs shows these and those of earshot.jobs.';
create index jobs_archive_document on earshot.jobs_archive (document_id) where document_id is not null;
create index jobs_finished on earshot.jobs (status, finished_at) where finished_at is not null;

create view earshot.all_jobs as
  select * from earshot.jobs
  union all
  select id, tenant_id, kind, role, requires, lane, payload, result, status, due, priority, run_at, deadline, assigned_node,
    incarnation, attempt, fence, tries, max_tries, deaths, error, error_code, idempotency_key, document_id, created_at, assigned_at,
    started_at, finished_at, waiting_on
  from earshot.jobs_archive;

alter table earshot.settings
  add column keep_completed interval not null default '7 days' check (keep_completed >= interval '0'),
  add column keep_failed interval not null default '90 days' check (keep_failed >= interval '0'),
  add column keep_archived interval not null default '365 days' check (keep_archived >= interval '0');
comment on column earshot.settings.keep_completed is 'After this, completed and cancelled jobs leave the hot table.';
comment on column earshot.settings.keep_failed is 'After this, failed jobs leave the hot table.';
comment on column earshot.settings.keep_archived is 'After this, archived jobs and their events are deleted. Documents stay.';

-- Rows are updated three times or four and then leave: room on the page keeps the updates in place, and the dead are swept early.
alter table earshot.jobs set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 1);
alter table earshot.nodes set (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500);
alter table earshot.leader set (fillfactor = 10, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500);

create or replace view earshot.transcription_jobs as
  select j.id, coalesce(m.path, d.title) as file_path,
    case when j.status in ('blocked', 'pending') then 'pending'
         when j.status in ('assigned', 'running') then 'processing'
         when j.status = 'completed' then 'completed'
         else 'failed' end as status,
    j.assigned_node,
    case when j.status = 'completed' then
      (select string_agg(s.text, E'\n' order by s.ordinal) from earshot.segments s where s.document_id = j.document_id)
      else j.error end as result,
    j.created_at, j.finished_at
  from earshot.all_jobs j
  left join earshot.documents d on d.id = j.document_id
  left join lateral (select path from earshot.media m where m.hash = j.payload ->> 'media' order by m.created_at limit 1) m on true
  where j.kind = 'transcribe';
