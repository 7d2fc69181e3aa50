"""Learning from human feedback: reward models, and policies tuned against them. No Django."""
