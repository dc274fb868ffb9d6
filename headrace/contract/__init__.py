"""What crosses a process boundary, declared once: topics, records, settings, errors, metric names."""
