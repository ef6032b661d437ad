-- Who is to blame: nodes that are held back, failures that tell against a node, deaths that tell against a job.

alter table earshot.nodes
  add column drained boolean not null default false,
  add column stopping boolean not null default false,
  add column reserved_for bigint;
comment on column earshot.nodes.drained is 'A person drained it: it gets nothing more, also after restarts, until it is resumed.';
comment on column earshot.nodes.stopping is 'It said that it stops: what then ends is no unexplained death.';
comment on column earshot.nodes.reserved_for is 'A job that must run alone is to run here: it gets nothing else until that has ended.';
comment on column earshot.nodes.faults is 'How many failures were surely its own.';

create table earshot.node_failures (
  node text not null references earshot.nodes (id) on delete cascade,
  role text not null,
  job_id bigint not null,
  proven boolean not null,
  message text not null,
  at timestamptz not null default now(),
  primary key (node, role, job_id)
);
comment on table earshot.node_failures is 'Which jobs failed on a node since its last success in that role: a row is deleted by a success there, or when the job proves guilty.';
comment on column earshot.node_failures.proven is 'Surely the node''s fault: it said so itself, or the job succeeded elsewhere.';
create index node_failures_job on earshot.node_failures (job_id);

create table earshot.quarantines (
  node text not null references earshot.nodes (id) on delete cascade,
  role text not null check (role <> ''),
  reason text not null,
  since timestamptz not null default now(),
  rest interval,
  probe_at timestamptz,
  primary key (node, role),
  constraint quarantines_by_hand_have_no_probe check ((role = '*') = (probe_at is null) and (probe_at is null) = (rest is null))
);
comment on table earshot.quarantines is 'Roles of nodes that get no work, since jobs keep failing there; role * stands for all: a person''s decision.';
comment on column earshot.quarantines.probe_at is 'From then on it gets one job at a time; the first success lifts the quarantine.';
comment on column earshot.quarantines.rest is 'How long it rests when that job fails; doubled each time.';

create table earshot.node_deaths (
  id bigint generated always as identity primary key,
  node text not null,
  jobs bigint[] not null,
  at timestamptz not null default now()
);
comment on table earshot.node_deaths is 'Nodes that vanished without a word, and what they were running then.';
create index node_deaths_at on earshot.node_deaths (at);

alter table earshot.jobs add column alone boolean not null default false;
comment on column earshot.jobs.alone is 'Nodes died with it in hand: it runs with nothing beside it, outside its lane.';
create index jobs_alone on earshot.jobs (id) where alone and status in ('pending', 'assigned', 'running');
