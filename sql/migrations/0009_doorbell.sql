-- Who needs to be woken, and how long a job may be silent.

alter table earshot.settings
  add column doorbell boolean not null default true;
comment on column earshot.settings.doorbell is
  'Whether changes are silent while the leader is awake. False on the embedded database, whose one session shuts nobody out; set by lead.';
