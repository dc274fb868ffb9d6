#!/usr/bin/env bash
# Runs the broker: run.sh SERVER_PROPERTIES LOG_DIR, with JAVA_HOME and CLASSPATH set.
# The first time it formats the storage; the cluster's id is made then and lives there for ever.
# The quick compiler and collector start it in half the time; they would cost throughput far beyond what one machine trains.
set -euo pipefail
java="$JAVA_HOME/bin/java"
if [[ ! -f "$2/meta.properties" ]]; then
  id=$(< /proc/sys/kernel/random/uuid)
  "$java" -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format -t "$id" -c "$1"
fi
exec "$java" -Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
  -Dlog4j2.configurationFile="$(dirname "$0")/log4j2.properties" kafka.Kafka "$1"
