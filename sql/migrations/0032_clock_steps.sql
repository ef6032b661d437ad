-- It takes what its clock shows at most now.
drop function if exists earshot.sweep(bigint, boolean, text);
