-- Jobs that wait for others.

alter table earshot.jobs add column waiting_on int not null default 0 check (waiting_on >= 0);
comment on column earshot.jobs.waiting_on is 'How many of its parents have not ended; blocked until there is none.';
alter table earshot.jobs add constraint jobs_blocked_waits
  check (status <> 'blocked' or waiting_on > 0), add constraint jobs_waiting_is_blocked
  check (waiting_on = 0 or status in ('blocked', 'failed', 'cancelled'));

create table earshot.job_parents (
  job_id bigint not null,
  parent_id bigint not null,
  policy text not null default 'fail' check (policy in ('fail', 'run', 'skip')),
  counted boolean not null default false,
  primary key (job_id, parent_id),
  check (job_id <> parent_id)
);
comment on table earshot.job_parents is 'Which job waits for which.';
comment on column earshot.job_parents.policy is
  'What a job does when this parent ends without success: fail with it, run all the same, or be skipped (cancelled).';
comment on column earshot.job_parents.counted is 'Whether the parent''s end has been counted: it may be told again, to children that came later.';
create index job_parents_parent on earshot.job_parents (parent_id);
