-- Interactive work before batch: what each job is, what nodes measure of themselves.

alter table earshot.job_kinds
  add column class text not null default 'batch' check (class in ('interactive', 'batch')),
  add column whole boolean not null default false;
comment on column earshot.job_kinds.class is 'What its jobs are when nobody says: interactive (somebody waits) or batch.';
comment on column earshot.job_kinds.whole is
  'Its jobs cannot be cut: as batch work they leave one slot of the role to others, on nodes that have two or more.';
update earshot.job_kinds set class = 'interactive' where kind = 'speak';
update earshot.job_kinds set whole = true where kind = 'transcribe';

-- "interactive" sorts above "batch".
alter table earshot.jobs add column class text not null default 'batch' check (class in ('interactive', 'batch'));
alter table earshot.jobs_archive add column class text not null default 'batch';
comment on column earshot.jobs.class is 'interactive goes before batch, whatever the priorities.';
update earshot.jobs j set class = k.class from earshot.job_kinds k
  where k.kind = j.kind and k.class <> 'batch' and j.status in ('blocked', 'pending', 'assigned', 'running');
drop index earshot.jobs_pending;
create index jobs_pending on earshot.jobs (lane, class desc, priority desc, id) where status = 'pending' and due;

create or replace view earshot.all_jobs as
  select id, tenant_id, kind, role, requires, lane, payload, result, status, due, priority, run_at, deadline, assigned_node,
    incarnation, attempt, fence, tries, max_tries, deaths, error, error_code, idempotency_key, document_id, created_at, assigned_at,
    started_at, finished_at, waiting_on, class
  from earshot.jobs
  union all
  select id, tenant_id, kind, role, requires, lane, payload, result, status, due, priority, run_at, deadline, assigned_node,
    incarnation, attempt, fence, tries, max_tries, deaths, error, error_code, idempotency_key, document_id, created_at, assigned_at,
    started_at, finished_at, waiting_on, class
  from earshot.jobs_archive;

alter table earshot.settings add column batch_patience interval not null default '10 minutes' check (batch_patience >= interval '0');
comment on column earshot.settings.batch_patience is 'A batch lane whose head waited longer gets one start in ten, however much interactive work there is.';

alter table earshot.nodes
  add column speeds jsonb not null default '{}' check (jsonb_typeof(speeds) = 'object'),
  add column warm jsonb not null default '[]' check (jsonb_typeof(warm) = 'array'),
  add column shares jsonb not null default '[]' check (jsonb_typeof(shares) = 'array');
comment on column earshot.nodes.slots is 'Role to the number of jobs it runs at once; * is the most of all roles together, as of one GPU that they share.';
comment on column earshot.nodes.speeds is 'Kind to work done in a second, as measured since it joined: seconds of audio for transcribe, jobs for all else.';
comment on column earshot.nodes.warm is 'Kinds that it ran in the last minutes: their engine is loaded.';
comment on column earshot.nodes.shares is 'Coordinators whose media it read from their own disk.';

-- Their arguments or results change; create or replace cannot do that.
drop function if exists earshot.list_lanes();
drop function if exists earshot.list_free_nodes(int);
drop function if exists earshot.route_jobs(bigint, bigint[], text[], bigint[]);
drop function if exists earshot.take_assignments(text, bigint, bigint[]);
drop function if exists earshot.heartbeat(text, bigint, jsonb);
drop function if exists earshot.locate_media(text);
drop function if exists earshot.submit_job(text, jsonb, int, jsonb, timestamptz, timestamptz, text, int, text, text);
drop function if exists earshot.submit_document(text, bigint, text, text, text, text, jsonb, text, text);
