-- Signs access to one media file until a moment, in seconds since 1970: HMAC-SHA256 (RFC 2104) over
-- "hash.expires", in hex, as packages/shared/src/media/sign.ts does. Built from sha256, since
-- pgcrypto is not on every server. The secret stays in the database.
create or replace function earshot.sign_media(p_hash text, p_expires bigint) returns text
language sql stable security definer set search_path = earshot, pg_temp
as $$
  with secret as (
    select convert_to(s.secret, 'UTF8') as raw from earshot.settings s
  ), key as (
    -- A key is one block of 64 bytes: hashed where it is longer, filled up with zeros.
    select case when length(s.raw) > 64 then sha256(s.raw) else s.raw end as k from secret s
  ), pads as (
    select string_agg(set_byte(decode('00', 'hex'), 0, b.byte # 54), ''::bytea order by b.i) as inner_pad,
      string_agg(set_byte(decode('00', 'hex'), 0, b.byte # 92), ''::bytea order by b.i) as outer_pad
    from (select g.i, case when g.i < length(k.k) then get_byte(k.k, g.i) else 0 end as byte
          from key k cross join generate_series(0, 63) g (i)) b
  )
  select encode(sha256(p.outer_pad || sha256(p.inner_pad || convert_to(p_hash || '.' || p_expires, 'UTF8'))), 'hex') from pads p
$$;
