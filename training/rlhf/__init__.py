"""Learning from preferences: a reward model from comparisons, a policy tuned against it. No Django."""
