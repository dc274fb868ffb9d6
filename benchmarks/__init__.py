"""Each module beside this one measures one thing against a named peer in the same run, and prints it as a ratio.

`python -m benchmarks` runs all of them, `python -m benchmarks.NAME` one; the goals stand in goals.toml.
"""
