"""What can go wrong with a request to an endpoint. Every message is one line for a person."""


class EndpointError(Exception):
    """No request to this endpoint can succeed until somebody changes something."""


class RequestFailed(Exception):  # noqa: N818 -- the outcome of one request
    """A request failed although it was repeated; another one, or the same one later, may succeed."""


class RequestRefused(Exception):  # noqa: N818 -- the outcome of one request
    """The server refuses to answer this prompt; repeating the request would not help."""
