"""The error of the embedded server."""


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot run. Its text is one line: why, and what to do."""
