-- The queue of several nodes.  A node row is a lease: while it stands, what it holds is its own.
CREATE TABLE node (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- one start of one worker
    name  text NOT NULL UNIQUE,
    until timestamptz NOT NULL                              -- by this database's clock
);

CREATE TABLE item (
    number      bigint PRIMARY KEY,
    id          text NOT NULL UNIQUE,
    queue_id    text NOT NULL,
    hop         text NOT NULL,
    state       text NOT NULL,
    reason      text NOT NULL,
    created     bigint NOT NULL,
    due         bigint NOT NULL,
    tries       integer NOT NULL,
    warned      boolean NOT NULL,
    protected   boolean NOT NULL,
    return_path text,
    recipients  text NOT NULL,
    options     text NOT NULL,
    size        bigint NOT NULL,
    path        text,
    body        bytea,             -- sealed content, or the sealed key of the chunks
    chunked     boolean NOT NULL,
    holder      bigint             -- the node that works on it
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
-- Sealed octets do not compress: trying would only cost time.
ALTER TABLE item ALTER COLUMN body SET STORAGE EXTERNAL;
-- What a node accepts it holds, so fresh mail never enters this index.
CREATE INDEX item_due ON item (hop, due, number) WHERE state = 'active' AND holder IS NULL;
CREATE INDEX item_queue_id ON item (queue_id);

CREATE TABLE chunk (
    number bigint NOT NULL REFERENCES item ON DELETE CASCADE,
    nth    integer NOT NULL,
    data   bytea NOT NULL,
    PRIMARY KEY (number, nth)
);
ALTER TABLE chunk ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE record (
    number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue_id text NOT NULL,
    at       bigint NOT NULL,
    name     text NOT NULL,
    data     text NOT NULL
);
CREATE INDEX record_queue_id ON record (queue_id);
CREATE INDEX record_at ON record (at);

-- Raised by whoever changes the queue from outside, so that the nodes look.
CREATE TABLE nudge (count bigint NOT NULL);
INSERT INTO nudge VALUES (0);
