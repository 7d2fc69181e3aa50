"""Requests to endpoints: which addresses may be reached, what is sent and read, and many requests at once."""
