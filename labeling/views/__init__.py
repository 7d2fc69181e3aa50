"""Pages of the labelling side, one module per page or group of pages."""
