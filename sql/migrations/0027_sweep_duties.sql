-- sweep took no duty before.
drop function if exists earshot.sweep(bigint, boolean);
