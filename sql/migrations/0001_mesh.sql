-- The mesh: who takes part, what is to be done, who leads, what happened.
-- Deadlines, leases and run_at use this database's clock only.

do $$ begin
  create role earshot_worker nologin;
exception
  -- The role belongs to the whole server: another database may have made it, or this user may not make roles at all.
  when duplicate_object or unique_violation or insufficient_privilege then null;
end $$;

create table earshot.tenants (
  id text primary key check (id <> ''),
  name text not null,
  created_at timestamptz not null default now()
);
insert into earshot.tenants (id, name) values ('default', 'Default');

create table earshot.settings (
  only_row boolean primary key default true check (only_row),
  lease interval not null default '15 seconds' check (lease > interval '0'),
  routable interval not null default '5 seconds' check (routable > interval '0'),
  offline interval not null default '5 minutes' check (offline > interval '0'),
  leadership interval not null default '1.5 seconds' check (leadership > interval '0'),
  secret text not null default replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')
);
comment on table earshot.settings is 'What all parts of the mesh must agree on: one row.';
comment on column earshot.settings.lease is 'How long after its last heartbeat a node may hold its jobs.';
comment on column earshot.settings.routable is 'A node older than this since its last heartbeat gets no new jobs.';
comment on column earshot.settings.offline is 'A node silent for this long counts as offline.';
comment on column earshot.settings.secret is 'Signs media addresses.';
insert into earshot.settings default values;

create table earshot.coordinators (
  id text primary key check (id <> ''),
  url text not null,
  version text not null,
  protocol int not null,
  started_at timestamptz not null default now(),
  last_seen timestamptz not null default now()
);
comment on table earshot.coordinators is 'Who serves HTTP and holds media; url is where workers reach it.';

create table earshot.leader (
  only_row boolean primary key default true check (only_row),
  term bigint not null default 0,
  holder text,
  expires_at timestamptz not null default '-infinity'
);
comment on table earshot.leader is 'The one coordinator that routes. A guarded row, since an advisory lock would outlive a frozen leader.';
insert into earshot.leader default values;

create sequence earshot.incarnations as bigint;

create table earshot.nodes (
  id text primary key check (id <> '' and length(id) <= 200),
  name text not null,
  host text,
  port int check (port between 0 and 65535),
  incarnation bigint not null,
  version text not null,
  protocol int not null,
  status text not null default 'online' check (status in ('online', 'degraded', 'offline')),
  reason text,
  roles text[] not null default '{}',
  tags jsonb not null default '{}' check (jsonb_typeof(tags) = 'object'),
  capabilities jsonb not null default '{}' check (jsonb_typeof(capabilities) = 'object'),
  slots jsonb not null default '{}' check (jsonb_typeof(slots) = 'object'),
  busy jsonb not null default '{}' check (jsonb_typeof(busy) = 'object'),
  faults int not null default 0,
  registered_at timestamptz not null default now(),
  last_seen timestamptz not null default now(),
  lease_until timestamptz not null default now()
) with (fillfactor = 50);
comment on column earshot.nodes.incarnation is 'New at every start; later starts have greater ones.';
comment on column earshot.nodes.reason is 'Why it gets no work although it is up; null when it does.';
comment on column earshot.nodes.slots is 'Role to the number of jobs it runs at once.';
comment on column earshot.nodes.busy is 'Role to the number of jobs that wind down on it: cancelled or lost, the engine not ended yet.';
comment on column earshot.nodes.lease_until is 'Until when it may hold what it was given.';

create table earshot.job_kinds (
  kind text primary key check (kind <> ''),
  role text not null check (role <> ''),
  priority int not null default 0,
  max_tries int not null default 3 check (max_tries > 0),
  required text[] not null default '{}'
);
comment on table earshot.job_kinds is 'What SQL needs to know of the kinds in packages/shared/src/contract/kinds.ts.';
comment on column earshot.job_kinds.required is 'Fields that a payload must have.';
-- Embedding goes before new transcriptions, so that what was heard becomes searchable at once; speech has somebody waiting.
insert into earshot.job_kinds (kind, role, priority, required) values
  ('transcribe', 'stt_batch', 0, '{media}'),
  ('read', 'rag_engine', 0, '{media}'),
  ('embed', 'rag_engine', 10, '{document_id}'),
  ('speak', 'tts', 20, '{text}');

create table earshot.jobs (
  id bigint generated always as identity primary key,
  tenant_id text not null default 'default' references earshot.tenants (id),
  kind text not null,
  role text not null check (role <> ''),
  requires jsonb not null default '{}' check (jsonb_typeof(requires) = 'object'),
  lane bigint not null generated always as (hashtextextended(role, jsonb_hash_extended(requires, 0))) stored,
  payload jsonb not null default '{}' check (jsonb_typeof(payload) = 'object'),
  result jsonb,
  status text not null default 'pending'
    check (status in ('blocked', 'pending', 'assigned', 'running', 'completed', 'failed', 'cancelled')),
  due boolean not null default true,
  priority int not null default 0,
  run_at timestamptz not null default now(),
  deadline timestamptz,
  assigned_node text,
  incarnation bigint,
  attempt int not null default 0,
  fence bigint,
  tries int not null default 0,
  max_tries int not null default 3 check (max_tries > 0),
  deaths int not null default 0,
  error text,
  error_code text,
  idempotency_key text,
  document_id bigint,
  created_at timestamptz not null default now(),
  assigned_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  constraint jobs_open_has_holder check (status not in ('assigned', 'running')
    or (assigned_node is not null and incarnation is not null and fence is not null)),
  constraint jobs_final_has_end check ((status in ('completed', 'failed', 'cancelled')) = (finished_at is not null)),
  constraint jobs_failed_says_why check (status <> 'failed' or (error is not null and error_code is not null))
);
comment on column earshot.jobs.lane is 'Jobs with equal needs share it: routing costs by lanes, not by jobs.';
comment on column earshot.jobs.due is 'Whether run_at has come; kept as a column so that jobs of the future cost the routing nothing.';
comment on column earshot.jobs.attempt is 'How often it was assigned; no limit.';
comment on column earshot.jobs.fence is 'A random token drawn at assignment: a holder''s write must match it. Kept after the end, so that a repeated finish is known.';
comment on column earshot.jobs.tries is 'How often it failed by its own guilt; limited by max_tries.';
comment on column earshot.jobs.deaths is 'How often its holder vanished without a word.';
comment on column earshot.jobs.error is 'Why it failed, or why it waits again, in a sentence.';
create index jobs_pending on earshot.jobs (lane, priority desc, id) where status = 'pending' and due;
create index jobs_later on earshot.jobs (run_at) where status = 'pending' and not due;
create index jobs_open on earshot.jobs (assigned_node) where status in ('assigned', 'running');
create index jobs_deadline on earshot.jobs (deadline) where deadline is not null and status in ('blocked', 'pending', 'assigned', 'running');
create unique index jobs_idempotency on earshot.jobs (tenant_id, idempotency_key) where idempotency_key is not null;
create index jobs_document on earshot.jobs (document_id) where document_id is not null;

create table earshot.events (
  id bigint generated always as identity primary key,
  xid xid8 not null default pg_current_xact_id(),
  tenant_id text not null default 'default' references earshot.tenants (id),
  type text not null,
  job_id bigint,
  document_id bigint,
  node text,
  data jsonb not null default '{}',
  at timestamptz not null default clock_timestamp()
);
comment on table earshot.events is
  'What happened. Read in the order (xid, id) and only below pg_snapshot_xmin(pg_current_snapshot()): then no late commit is skipped.';
create index events_order on earshot.events (xid, id);
create index events_job on earshot.events (job_id, id) where job_id is not null;

create view earshot.job_events as
  select id, tenant_id, job_id, document_id, node, type, data, at from earshot.events where job_id is not null;
