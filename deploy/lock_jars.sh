#!/usr/bin/env bash
# Writes deploy/jars.lock: every jar that the local stack runs, with its exact coordinate and sha256.
#
# Only whoever changes a version runs this; it needs Maven and a JDK. Maven resolves the broker's dependencies, because
# mediation between their versions is Maven's own business: another resolver may pick a client library that the broker
# cannot run with. Everybody else fetches exactly what the lock says (headrace/local/jars.py).
set -euo pipefail
cd "$(dirname "$0")"

KAFKA=4.3.1
LOG4J=2.25.4               # the binding for slf4j 1.7, which kafka-clients use
CONNECTOR=5.0.0-2.2        # one jar without dependencies; works with Flink 2.3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/pom.xml" <<POM
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>headrace</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>$LOG4J</version></dependency>
  </dependencies>
</project>
POM
copy=(mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies -Dmdep.useRepositoryLayout=true)
"${copy[@]}" -DincludeScope=runtime -DoutputDirectory="$work/kafka"
sed -i -e "s/>org.apache.kafka</>org.apache.flink</; s/>kafka_2.13</>flink-sql-connector-kafka</; s/>$KAFKA</>$CONNECTOR</" "$work/pom.xml"
"${copy[@]}" -DincludeArtifactIds=flink-sql-connector-kafka -DoutputDirectory="$work/flink"

# A repository's layout is group/as/folders/artifact/version/artifact-version.jar
lock() {
  (cd "$work/$1" && find . -name '*.jar' | sort) | while IFS=/ read -ra path; do
    n=${#path[@]}
    group=$(IFS=.; echo "${path[*]:1:n-4}")
    file=$(IFS=/; echo "$work/$1/${path[*]:1}")
    echo "$1 $group:${path[n-3]}:${path[n-2]} $(sha256sum < "$file" | cut -d' ' -f1)"
  done
}
{
  echo "# Written by deploy/lock_jars.sh. One jar a line: who runs it, group:artifact:version, sha256."
  lock kafka
  lock flink
  # The connector's Kafka client reads every codec that a publisher may use, but brings none.
  lock kafka | sed -n -E 's/^kafka (.*:(zstd-jni|lz4-java|snappy-java):)/flink \1/p'
} > jars.lock
echo "$(grep -vc '^#' jars.lock) jars in deploy/jars.lock"
