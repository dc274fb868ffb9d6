"""The stack on one machine without Docker: Java, jars, broker, Flink, and a supervisor that watches them."""
