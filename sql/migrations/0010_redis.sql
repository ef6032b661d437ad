-- How a node hears that there is something for it.

alter table earshot.nodes
  add column hears text not null default 'notify' check (hears in ('notify', 'redis'));
comment on column earshot.nodes.hears is
  'What wakes it: a notification, or a message through Redis, as long as it says that it hears those. Only ever a hint: the heartbeat''s reply tells it all.';

-- It has one parameter and one column more; create or replace cannot do that.
drop function if exists earshot.route_jobs(bigint, bigint[], text[], bigint[]);
