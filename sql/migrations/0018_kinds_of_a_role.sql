-- Kinds of the users' own that share a role, and are run by different workers.

alter table earshot.job_kinds add column requires jsonb not null default '{}' check (jsonb_typeof(requires) = 'object');
comment on column earshot.job_kinds.requires is
  'What its jobs require of a node besides what they say themselves: {"kind:NAME": true} where others of its role are run elsewhere, which a worker has as a tag for each of its kinds.';
