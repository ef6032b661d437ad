-- What requests over the OpenAI door need.

-- Jobs whose answer somebody waits for with an open connection. Not columns of the job: most jobs have no waiter, and this ends with the answer.
create table earshot.waiters (
  job_id bigint primary key references earshot.jobs on delete cascade,
  seen timestamptz not null default clock_timestamp(),
  begun boolean not null default false
);
comment on table earshot.waiters is 'Jobs whose answer somebody waits for with an open connection.';
comment on column earshot.waiters.seen is 'When the coordinator that passes the answer on last said that it is there; once it falls silent the job runs for nobody, and is cancelled.';
comment on column earshot.waiters.begun is 'The beginning of the answer was sent: the job is not run again.';
