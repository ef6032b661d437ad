-- Who needs to be woken, and how long a job may be silent.

alter table earshot.settings
  add column doorbell boolean not null default true;
comment on column earshot.settings.doorbell is
  'Whether changes are silent while the leader is awake. False on the embedded database, whose one session shuts nobody out; set by lead.';

alter table earshot.job_kinds add column silence interval not null default '10 minutes' check (silence > interval '0');
comment on column earshot.job_kinds.silence is 'How long its jobs may run without a sign of progress; then they are taken from their handler, as failed.';
-- A long recording is fetched and decoded before there is progress to tell of.
update earshot.job_kinds set silence = '30 minutes' where kind = 'transcribe';

-- Its result changes; create or replace cannot do that.
drop function if exists earshot.take_assignments(text, bigint, bigint[]);
