"""The clean job: text.raw to text.clean or text.rejected."""
