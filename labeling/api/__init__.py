"""The labelling part of the REST API."""
