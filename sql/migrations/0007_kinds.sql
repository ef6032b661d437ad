-- Kinds of the users' own, beside the built-in ones.

alter table earshot.job_kinds
  add column built_in boolean not null default false,
  add column payload_schema jsonb,
  add column result_schema jsonb,
  add column registered_at timestamptz not null default now();
update earshot.job_kinds set built_in = true where kind in ('transcribe', 'read', 'embed', 'speak');
comment on table earshot.job_kinds is 'Every kind of job there is: what is not here is refused. Changed by register_kinds only, but for the built-in ones.';
comment on column earshot.job_kinds.built_in is
  'One of Earshot''s own, with its schemas in packages/shared/src/contract/kinds.ts; the others belong to the users of this mesh.';
comment on column earshot.job_kinds.payload_schema is 'JSON Schema (draft 7) of what may be enqueued; null where nobody said.';
comment on column earshot.job_kinds.result_schema is 'JSON Schema (draft 7) of what its jobs give back; null where nobody said.';
