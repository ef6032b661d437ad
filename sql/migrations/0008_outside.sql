-- How long events and nodes are kept, what counting jobs needs, and keys that outlive their jobs' stay in the hot table.

alter table earshot.settings
  add column keep_events interval not null default '90 days' check (keep_events >= interval '0'),
  add column keep_nodes interval not null default '30 days' check (keep_nodes >= interval '0');
comment on column earshot.settings.keep_events is 'After this, events that are about no job are deleted; those of a job go with it.';
comment on column earshot.settings.keep_nodes is 'A node that has been offline for longer and has nothing in hand is forgotten.';

create table earshot.pruned_events (
  only_row boolean primary key default true check (only_row),
  xid xid8 not null default '0',
  id bigint not null default 0
);
comment on table earshot.pruned_events is 'The last place, in the order of the events, of which one was deleted: who resumes before it has missed something.';
insert into earshot.pruned_events default values;
create index events_of_no_job on earshot.events (at) where job_id is null;

create index jobs_archive_idempotency on earshot.jobs_archive (tenant_id, idempotency_key) where idempotency_key is not null;
create index jobs_blocked on earshot.jobs (id) where status = 'blocked';
