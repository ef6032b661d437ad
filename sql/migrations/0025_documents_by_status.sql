-- The newest documents of a status: GET /v1/documents.
create index documents_status on earshot.documents (status, id);
