-- text.raw ─▶ clean ─┬─ accepted ─▶ seen before? ─┬─ no ──▶ text.clean
--                    │                            └─ yes ─▶ text.rejected (duplicate, near_duplicate)
--                    └─ not accepted ───────────────────────▶ text.rejected

CREATE TEMPORARY TABLE published (
  `value` BYTES,
  `partition` INT NOT NULL METADATA VIRTUAL,
  `offset` BIGINT NOT NULL METADATA VIRTUAL,
  `timestamp` TIMESTAMP_LTZ(3) NOT NULL METADATA VIRTUAL,
  `headers` MAP<STRING, BYTES> NOT NULL METADATA VIRTUAL
) WITH (
  'connector' = 'kafka',
  'topic' = '$raw',
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
  `value` BYTES,
  `topic` STRING METADATA,
  `headers` MAP<STRING, BYTES> METADATA,
  `timestamp` TIMESTAMP_LTZ(3) METADATA
) WITH (
  'connector' = 'kafka',
  'topic' = '$clean;$rejected',
  'format' = 'raw',
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

-- A client may say any time, also one that no sink takes and no Python date holds: before 1970 counts as 1970.
CREATE TEMPORARY VIEW dated AS
SELECT `value`, headers, `partition`, `offset`,
  CASE WHEN `timestamp` < TO_TIMESTAMP_LTZ(0, 3) THEN TO_TIMESTAMP_LTZ(0, 3) ELSE `timestamp` END AS `timestamp`
FROM published;

-- A long document counts as many records of a bundle (flink_jobs/text/pace.py), and so do long headers: behind it come
-- rows without it, one for each further $piece_bytes bytes, which `clean` makes nothing of.
CREATE TEMPORARY VIEW weighed AS
SELECT
  CASE piece WHEN 'document' THEN `value` END AS `value`,
  CASE piece WHEN 'document' THEN headers END AS headers,
  `partition`,
  CASE piece WHEN 'document' THEN `offset` END AS `offset`,
  `timestamp`
FROM dated CROSS JOIN UNNEST(SPLIT('document' || REPEAT(',', (
  COALESCE(CHAR_LENGTH(DECODE(`value`, 'ISO-8859-1')), 0) + COALESCE(CHAR_LENGTH(CAST(headers AS STRING)), 0)) / $piece_bytes
), ',')) AS u(piece);

-- One row for every record. fingerprint: of an accepted text, else NULL. headers: why it is, or would be, rejected.
-- bands: keys of an accepted text, of which texts that are nearly the same share one (flink_jobs/text/near.py).
CREATE TEMPORARY VIEW judged AS
SELECT j.`value`, j.fingerprint, j.headers, j.bands, p.`timestamp`
FROM weighed AS p,
  LATERAL TABLE(clean(p.`value`, p.headers, p.`partition`, p.`offset`, p.`timestamp`)) AS j(`value`, fingerprint, headers, bands);

-- Only accepted documents are remembered, and of them only the fingerprint and a count.
CREATE TEMPORARY VIEW counted AS
SELECT `value`, headers, bands, `timestamp`, COUNT(*) OVER (
    PARTITION BY fingerprint ORDER BY PROCTIME() ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS copies
FROM judged
WHERE fingerprint IS NOT NULL;

-- From here on a duplicate is a row without a value.
CREATE TEMPORARY VIEW seen_0 AS
SELECT CASE WHEN copies = 1 THEN `value` END AS `value`, headers, bands, `timestamp`, copies FROM counted;

-- With clean.near_dedup this view is there once for each band, one behind the other. It counts values, never rows: a row
-- that is a duplicate of a third text already must drop nothing, or two that are alike would each be the other's second.
CREATE TEMPORARY VIEW seen_$band AS
SELECT CASE WHEN alike = 1 THEN `value` END AS `value`, headers, bands, `timestamp`, copies
FROM (
  SELECT *, COUNT(`value`) OVER (
    PARTITION BY bands[$band] ORDER BY PROCTIME() ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS alike
  FROM seen_$before);

INSERT INTO outcomes
SELECT `value`, '$rejected', headers, `timestamp` FROM judged WHERE fingerprint IS NULL
UNION ALL
SELECT
  `value`,
  CASE WHEN `value` IS NULL THEN '$rejected' ELSE '$clean' END,
  CASE
    WHEN `value` IS NOT NULL THEN CAST(NULL AS MAP<STRING, BYTES>)
    WHEN copies > 1 THEN headers
    ELSE MAP_UNION(headers, MAP['reason', ENCODE('near_duplicate', 'UTF-8')])
  END,
  `timestamp`
FROM seen_$bands;
