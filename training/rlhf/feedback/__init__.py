"""Human feedback: comparisons, rankings, ratings and demonstrations from every source. Torch-free."""
