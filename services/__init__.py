"""Long-running processes of ours."""
