"""The labelling half of the REST API."""
