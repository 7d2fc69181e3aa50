"""The error that bad input raises."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    ``str()`` is one line that names the file, line or option, and says what to do about it.
    """
