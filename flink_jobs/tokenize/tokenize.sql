-- text.clean ─▶ tokenize ─┬─ tokens ─▶ window of a shard ─▶ pack ─┬─ blocks ─▶ tokens.blocks
--                         │                                       └─ seal ───▶ tokens.windows
--                         └─ no tokens, or not to be read ───────────────────▶ text.rejected

CREATE TEMPORARY TABLE accepted (
  `value` BYTES,
  `partition` INT NOT NULL METADATA VIRTUAL,
  `offset` BIGINT NOT NULL METADATA VIRTUAL,
  `timestamp` TIMESTAMP_LTZ(3) NOT NULL METADATA VIRTUAL,
  seen AS PROCTIME()  -- here, or the text would go along to the window
) WITH (
  'connector' = 'kafka',
  'topic' = '$clean',
  'format' = 'raw',
  'scan.startup.mode' = 'group-offsets',
  'scan.topic-partition-discovery.interval' = '10 s',  -- one that was added is read from its beginning
  'properties.bootstrap.servers' = '$brokers',
  'properties.group.id' = '$group',
  'properties.auto.offset.reset' = 'none',
  'properties.isolation.level' = 'read_committed',
  'properties.max.partition.fetch.bytes' = '$fetch_bytes'
);

CREATE TEMPORARY TABLE outcomes (
  `key` BYTES,
  `value` BYTES,
  `topic` STRING METADATA,
  `headers` MAP<STRING, BYTES> METADATA,
  `timestamp` TIMESTAMP_LTZ(3) METADATA
) WITH (
  'connector' = 'kafka',
  'topic' = '$blocks;$windows;$rejected',
  'key.format' = 'raw',
  'key.fields' = 'key',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY',
  'properties.bootstrap.servers' = '$brokers',
  'properties.max.request.size' = '$record_bytes',
  'properties.compression.type' = 'zstd',
  -- Fewer batches are less work for the broker. Nobody reads before the transaction is committed: waiting delays nothing.
  'properties.batch.size' = '131072',
  'properties.linger.ms' = '100',
  'properties.transaction.timeout.ms' = '$transaction_timeout_ms',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = '$group',
  'sink.transaction-naming-strategy' = 'POOLING'
);

-- A long document counts as many records of a bundle (flink_jobs/text/pace.py): behind it come rows without it, one for
-- each further $piece_bytes bytes, which `tokenize` makes nothing of.
CREATE TEMPORARY VIEW weighed AS
SELECT
  CASE piece WHEN 'document' THEN `value` END AS `value`,
  `partition`,
  CASE piece WHEN 'document' THEN `offset` END AS `offset`,
  `timestamp`,
  seen
FROM accepted CROSS JOIN UNNEST(SPLIT(
  'document' || REPEAT(',', COALESCE(CHAR_LENGTH(DECODE(`value`, 'ISO-8859-1')), 0) / $piece_bytes), ',')) AS u(piece);

-- One row for every record. document: coordinates and token bytes, no text; NULL where headers say why not.
CREATE TEMPORARY VIEW encoded AS
SELECT e.shard, e.document, e.headers, a.`value`, a.`timestamp`, a.seen
FROM weighed AS a,
  LATERAL TABLE(tokenize(a.`value`, a.`partition`, a.`offset`, a.`timestamp`)) AS e(shard, document, headers);

-- Processing time: no document is ever late, and a stream that falls silent still drains.
-- Not TABLE(TUMBLE(…)): that window buffers what it gathers until a later time than ever before has come, so after the
-- clock was set back it fires without its documents, and they are lost. This one keeps each document as it comes.
CREATE TEMPORARY VIEW gathered AS
SELECT shard,
  TUMBLE_START(seen, INTERVAL '$window_s' SECOND) AS window_start,
  TUMBLE_END(seen, INTERVAL '$window_s' SECOND) AS window_end,
  ARRAY_AGG(document) AS documents
FROM encoded
WHERE shard IS NOT NULL
GROUP BY shard, TUMBLE(seen, INTERVAL '$window_s' SECOND);

INSERT INTO outcomes
SELECT p.`key`, p.`value`, '$prefix' || p.topic, CAST(NULL AS MAP<STRING, BYTES>), TO_TIMESTAMP_LTZ(p.published, 3)
FROM gathered AS g,
  LATERAL TABLE(pack(g.shard, g.window_start, g.window_end, g.documents)) AS p(topic, `key`, `value`, published)
UNION ALL
SELECT CAST(NULL AS BYTES), `value`, '$rejected', headers, `timestamp` FROM encoded WHERE shard IS NULL;
