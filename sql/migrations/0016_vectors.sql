-- Vectors of a model that knows meanings, beside the lexical ones.

alter table earshot.settings
  add column embed_model text not null default 'lexical-384' check (embed_model <> ''),
  add column embed_dimensions int check (embed_dimensions > 0),
  add column embed_floor real check (embed_floor between -1 and 1);
comment on column earshot.settings.embed_model is 'By which model documents are embedded besides the lexical one; lexical-384: by none.';
comment on column earshot.settings.embed_dimensions is 'Of its vectors; null until there are some.';
comment on column earshot.settings.embed_floor is 'From which cosine on a text counts as found by it; null: as is known of the model.';

alter table earshot.documents add column vectors_of text not null default '';
comment on column earshot.documents.vectors_of is 'The model by which its chunks were asked to be embedded; empty: by none.';
create index documents_vectors_of on earshot.documents (vectors_of, id) where status = 'ready';

create table earshot.chunk_vectors (
  chunk_id bigint not null references earshot.chunks (id) on delete cascade,
  model text not null,
  embedding vector not null,
  primary key (chunk_id, model)
);
comment on table earshot.chunk_vectors is 'Vectors of chunks by models that nodes have; those of one model all have one size. keep_vectors makes the index over them.';
create index chunk_vectors_model on earshot.chunk_vectors (model);
