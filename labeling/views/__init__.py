"""Pages of the labelling side, one module for each."""
