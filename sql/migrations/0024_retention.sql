-- How long content is kept, and what may go: speech, uploads, documents and stored originals.

alter table earshot.settings
  add column keep_speech interval default '90 days' check (keep_speech >= interval '0'),
  add column keep_uploads interval default '7 days' check (keep_uploads >= interval '0'),
  add column keep_documents interval check (keep_documents >= interval '0'),
  add column keep_media interval check (keep_media >= interval '0');
comment on column earshot.settings.keep_speech is 'After this, speech that was made is deleted; null: never.';
comment on column earshot.settings.keep_uploads is
  'After this, an upload that nothing refers to is deleted, but not within its first hour; null: never.';
comment on column earshot.settings.keep_documents is 'After this, documents are deleted with all that was made of them; null: never.';
comment on column earshot.settings.keep_media is
  'So long after a document is ready its original stays in the coordinator''s store; null: as long as the document.';

create index artifacts_media on earshot.artifacts (media_hash);
create index artifacts_created on earshot.artifacts (created_at);
create index documents_media on earshot.documents (media_hash) where media_hash is not null;
create index documents_ended on earshot.documents ((coalesce(ready_at, created_at)));
create index inbox_files_hash on earshot.inbox_files (holder, hash);
create index events_of_document on earshot.events (document_id) where job_id is null and document_id is not null;
create index jobs_media on earshot.jobs ((payload ->> 'media'))
  where status in ('blocked', 'pending', 'assigned', 'running') and payload ->> 'media' is not null;

create view earshot.expired_speech as
  select a.* from earshot.artifacts a
  where a.kind = 'speech' and a.created_at < now() - (select s.keep_speech from earshot.settings s);
comment on view earshot.expired_speech is 'Speech that is kept no longer.';

create view earshot.expired_documents as
  select d.* from earshot.documents d
  where coalesce(d.ready_at, d.created_at) < now() - (select s.keep_documents from earshot.settings s)
    and not exists (select from earshot.jobs j where j.document_id = d.id
      and j.status in ('blocked', 'pending', 'assigned', 'running'));
comment on view earshot.expired_documents is 'Documents that are kept no longer, and for which no job is open.';

create view earshot.unneeded_media as
  select m.* from earshot.media m
  where m.created_at < now() - greatest((select s.keep_uploads from earshot.settings s), interval '1 hour')
    and (select s.keep_uploads from earshot.settings s) is not null
    and not exists (select from earshot.documents d where d.media_hash = m.hash
      and not exists (select from earshot.expired_documents e where e.id = d.id)
      and not coalesce(d.ready_at < now() - (select s.keep_media from earshot.settings s), false))
    and not exists (select from earshot.artifacts a where a.media_hash = m.hash
      and not exists (select from earshot.expired_speech e where e.id = a.id))
    and not exists (select from earshot.jobs j where j.payload ->> 'media' = m.hash
      and j.status in ('blocked', 'pending', 'assigned', 'running'))
    and not exists (select from earshot.inbox_files f where f.holder = m.holder and f.hash = m.hash);
comment on view earshot.unneeded_media is
  'Media that nothing refers to: no document, no speech, no open job, no file of an inbox. What has expired counts as gone.';
