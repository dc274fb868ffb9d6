"""Pure functions on strings and arrays. Nothing here knows Flink, Kafka or a clock."""
