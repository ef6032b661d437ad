-- A machine that rebooted took its node along: that death tells against no job.
alter table earshot.node_registry add column if not exists boot_id text;
comment on column earshot.node_registry.boot_id is
  'Tells one start of the machine from the next. Null where the system has no such id.';
alter table earshot.node_deaths
  add column if not exists rebooted boolean not null default false;
comment on column earshot.node_deaths.rebooted is
  'The machine had a new boot id when the node came back: the jobs are not to blame.';
-- They take or answer more now.
drop function if exists earshot.register_node(
  text, text, text, int, text, int, text[], jsonb, jsonb, jsonb, text);
drop function if exists earshot.record_node_death(text, bigint[], text, text);
drop function if exists earshot.list_isolated_jobs(bigint);
