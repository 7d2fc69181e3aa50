"""The text of an answer, piece by piece, from `manage.py serve` or the server of an endpoint."""

from collections.abc import AsyncIterator, Callable

import httpx2

from labeling.models import Generator, Prompt
from training import serve_client
from training.endpoints.client import EndpointClient
from training.formats.messages import completion_content
from training.gpt.config import SamplingConfig
from training.models import Endpoint, ModelVersion

SERVE_SECONDS = 120
"""How long `manage.py serve` may take until the next piece of text."""


class VersionClient(EndpointClient):
    """The client of a version that `manage.py serve` has, which the site reaches with a key of its own."""

    def __init__(self, version: ModelVersion, api: Endpoint.Api) -> None:
        super().__init__(
            Endpoint(
                name=version.name,
                url=serve_client.base_url(),
                model=version.name,
                api=api,
                timeout=SERVE_SECONDS,
            ),
            retries=0,
        )

    def read_key(self) -> str:
        return serve_client.site_key()

    def open_transport(self, limits: httpx2.Limits) -> httpx2.AsyncBaseTransport:
        """The site says where the server is, so its address is not checked."""
        return httpx2.AsyncHTTPTransport(limits=limits)

    def _line(self, problem: str) -> str:
        return f"{self.endpoint.name}: {problem.rstrip('.')}."


def open_stream(
    generator: Generator, prompt: Prompt, sampling: SamplingConfig
) -> Callable[[], AsyncIterator[str]]:
    """A function that begins the stream of an answer's content. Raises EndpointError, now or later."""
    client = open_client(generator, prompt)

    async def stream() -> AsyncIterator[str]:
        # What continues the text of a conversation begins with the space that joins it.
        joins = bool(prompt.messages) and client.endpoint.api == Endpoint.Api.COMPLETIONS
        async with client:
            async for piece in client.stream(prompt, sampling):
                yield completion_content(piece) if joins else piece
                joins = joins and not piece

    return stream


def open_client(generator: Generator, prompt: Prompt) -> EndpointClient:
    """The client of whoever writes."""
    endpoint = Endpoint.objects.filter(generator=generator).first()
    if endpoint is not None:
        return EndpointClient(endpoint, retries=0)
    version = ModelVersion.objects.get(generator=generator)
    return VersionClient(version, Endpoint.Api.CHAT if prompt.messages else Endpoint.Api.COMPLETIONS)
