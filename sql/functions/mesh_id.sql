-- What tells this mesh from others with which it shares a Redis: 12 hexadecimal digits, from which
-- the secret cannot be had.
create or replace function earshot.mesh_id() returns text
language sql stable security definer set search_path = earshot, pg_temp
as $$ select left(encode(sha256(convert_to('mesh ' || s.secret, 'UTF8')), 'hex'), 12) from earshot.settings s $$;
