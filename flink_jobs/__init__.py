"""The two Flink jobs. Each is one page of SQL, one or two Python functions, and pure functions in `text`."""
