#!/usr/bin/env bash
# Runs one process of Flink: run.sh jobmanager|taskmanager METRICS_PORT, with JAVA_HOME and FLINK_* set.
#
# The distribution's own scripts start four short JVMs before the process itself, seconds on a small machine. This asks
# the same helper of theirs once, for the memory options, and starts the same class with them.
set -euo pipefail
java="$JAVA_HOME/bin/java"
case "$1" in
  # The JobManager computes little: the quick compiler and collector start it in half the time.
  jobmanager) kind=JM; main=org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint
              tuning="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" ;;
  # Out of memory in a thread of the Python bridge would leave a job that is called running and never moves again.
  # Regions of a megabyte, as a heap of this size would have, hold no document of a megabyte: two would go for each copy.
  taskmanager) kind=TM; main=org.apache.flink.runtime.taskexecutor.TaskManagerRunner
               tuning="-XX:+UseG1GC -XX:G1HeapRegionSize=8m -XX:+ExitOnOutOfMemoryError" ;;
  *) echo "run.sh jobmanager|taskmanager METRICS_PORT" >&2; exit 2 ;;
esac

# A process that takes the place of a lost one has the same options: they are kept beside the configuration.
kept="$FLINK_CONF_DIR/$1.params"
helper="$FLINK_HOME/bin/bash-java-utils.jar:$(echo "$FLINK_LIB_DIR"/flink-dist-*.jar)"
said=$(cat "$kept" 2>/dev/null || "$java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$helper" \
  org.apache.flink.runtime.util.bash.BashJavaUtils "GET_${kind}_RESOURCE_PARAMS" --configDir "$FLINK_CONF_DIR" 2>&1)
mapfile -t params < <(sed -n 's/^BASH_JAVA_UTILS_EXEC_RESULT://p' <<< "$said")
if (( ${#params[@]} != 2 )); then
  echo "Flink's memory options are not to be had: $said" >&2
  exit 1
fi
[[ -e "$kept" ]] || { printf '%s\n' "$said" > "$kept.new" && mv "$kept.new" "$kept"; } || true

open=()
for package in java.lang java.net java.io java.nio java.text java.time java.util java.lang.reflect sun.nio.ch \
  java.util.concurrent java.util.concurrent.atomic java.util.concurrent.locks; do
  open+=("--add-opens=java.base/$package=ALL-UNNAMED")
done
# shellcheck disable=SC2086  # the options are words
exec "$java" ${params[0]} $tuning "${open[@]}" "-Dheadrace.part=$1" "-Dlog.file=$FLINK_LOG_DIR/$1.log" \
  "-Dlog4j.configurationFile=$FLINK_CONF_DIR/log4j-console.properties" \
  -cp "$FLINK_LIB_DIR/*" "$main" --configDir "$FLINK_CONF_DIR" ${params[1]} \
  -D "metrics.reporter.prometheus.port=$2"
