"""The planner: the only writer of `train.plan`. It puts every block into exactly one step."""
