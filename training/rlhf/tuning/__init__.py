"""Ways to tune a policy, under one control."""
