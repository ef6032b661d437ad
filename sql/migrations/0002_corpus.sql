-- The corpus: what was taken in, what was heard, what can be found.

create extension if not exists vector;

create table earshot.corpora (
  id bigint generated always as identity primary key,
  tenant_id text not null default 'default' references earshot.tenants (id),
  name text not null check (name <> ''),
  created_at timestamptz not null default now(),
  unique (tenant_id, name)
);
insert into earshot.corpora (name) values ('default');

create table earshot.media (
  hash text not null check (hash ~ '^[0-9a-f]{64}$'),
  size bigint not null check (size >= 0),
  holder text not null,
  path text not null,
  created_at timestamptz not null default now(),
  primary key (hash, holder)
);
comment on table earshot.media is 'Which coordinator holds which content, and where. Media stays where it was taken in.';
comment on column earshot.media.hash is 'SHA-256 of the content, in hexadecimal.';
comment on column earshot.media.size is 'Bytes.';
comment on column earshot.media.holder is 'Id of the coordinator.';

create table earshot.documents (
  id bigint generated always as identity primary key,
  tenant_id text not null default 'default' references earshot.tenants (id),
  corpus_id bigint not null references earshot.corpora (id),
  title text not null,
  kind text not null check (kind in ('audio', 'text')),
  status text not null default 'queued' check (status in ('queued', 'processing', 'ready', 'failed')),
  error text,
  error_code text,
  media_hash text,
  duration_s double precision check (duration_s >= 0),
  engine text,
  node text,
  created_at timestamptz not null default now(),
  ready_at timestamptz,
  constraint documents_failed_says_why check (status <> 'failed' or (error is not null and error_code is not null)),
  constraint documents_ready_has_time check ((status = 'ready') = (ready_at is not null))
);
comment on column earshot.documents.node is 'Which node heard or read it.';
-- One document for one content, however often and under however many names it is dropped.
create unique index documents_content on earshot.documents (tenant_id, corpus_id, media_hash) where media_hash is not null;

create table earshot.segments (
  id bigint generated always as identity primary key,
  tenant_id text not null default 'default' references earshot.tenants (id),
  document_id bigint not null references earshot.documents (id) on delete cascade,
  ordinal int not null check (ordinal >= 0),
  start_s double precision check (start_s >= 0),
  end_s double precision check (end_s >= start_s),
  text text not null,
  confidence real check (confidence between 0 and 1),
  words jsonb not null default '[]' check (jsonb_typeof(words) = 'array'),
  unique (document_id, ordinal)
);
comment on column earshot.segments.start_s is 'Seconds from the start of the recording; null in a text.';
comment on column earshot.segments.words is '[{text, start_s, end_s, confidence}]; empty where the engine has no word times.';

create table earshot.chunks (
  id bigint generated always as identity primary key,
  tenant_id text not null default 'default' references earshot.tenants (id),
  document_id bigint not null references earshot.documents (id) on delete cascade,
  ordinal int not null check (ordinal >= 0),
  start_s double precision check (start_s >= 0),
  end_s double precision check (end_s >= start_s),
  speaker text,
  text text not null,
  fts tsvector not null generated always as (to_tsvector('simple', text) || to_tsvector('english', text)) stored,
  model text not null,
  embedding vector not null,
  unique (document_id, model, ordinal)
);
comment on column earshot.chunks.fts is 'Words as they are and English stems, so that both an exact name and another form of a word are found.';
comment on column earshot.chunks.model is 'Vectors of different models live side by side and are never compared.';
create index chunks_fts on earshot.chunks using gin (fts);
create index chunks_lexical_384 on earshot.chunks using hnsw ((embedding::vector(384)) vector_cosine_ops) where model = 'lexical-384';

create table earshot.artifacts (
  id bigint generated always as identity primary key,
  tenant_id text not null default 'default' references earshot.tenants (id),
  kind text not null check (kind <> ''),
  media_hash text not null,
  mime text not null,
  text text,
  duration_s double precision check (duration_s >= 0),
  engine text,
  node text,
  job_id bigint,
  created_at timestamptz not null default now()
);
comment on table earshot.artifacts is 'What the mesh made: speech, for now.';

create table earshot.inbox_files (
  holder text not null,
  path text not null,
  tenant_id text not null default 'default' references earshot.tenants (id),
  location text,
  size bigint,
  mtime_ns bigint,
  hash text,
  status text not null check (status in ('taken', 'duplicate', 'refused')),
  document_id bigint references earshot.documents (id) on delete set null,
  error text,
  error_code text,
  seen_at timestamptz not null default now(),
  primary key (holder, path)
);
comment on table earshot.inbox_files is 'What is known of each file of each inbox: what was done is neither done nor hashed again.';
comment on column earshot.inbox_files.path is 'Relative to the inbox, with forward slashes.';
comment on column earshot.inbox_files.location is 'The absolute path on its holder.';

create view earshot.transcription_jobs as
  select j.id, coalesce(m.path, d.title) as file_path,
    case when j.status in ('blocked', 'pending') then 'pending'
         when j.status in ('assigned', 'running') then 'processing'
         when j.status = 'completed' then 'completed'
         else 'failed' end as status,
    j.assigned_node,
    case when j.status = 'completed' then
      (select string_agg(s.text, E'\n' order by s.ordinal) from earshot.segments s where s.document_id = j.document_id)
      else j.error end as result,
    j.created_at, j.finished_at
  from earshot.jobs j
  left join earshot.documents d on d.id = j.document_id
  left join lateral (select path from earshot.media m where m.hash = j.payload ->> 'media' order by m.created_at limit 1) m on true
  where j.kind = 'transcribe';
