"""What can go wrong with the embedded server, in one line for the person who runs the command."""


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot run here; `str()` is one line that says why and what to do."""
