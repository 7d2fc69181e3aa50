"""Every test of training keeps its artifacts apart."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from django.test import Client
from pytest_django import Settings

from tests.training.endpoint_server import EndpointServer, endpoint_server
from tests.training.factories import admin


@pytest.fixture(autouse=True)
def isolated_artifacts(own_artifacts: None) -> None:
    """Nothing reaches the artifacts of the site."""


@pytest.fixture
def as_admin(client: Client) -> Client:
    """The browser of an admin of the whole site."""
    client.force_login(admin())
    return client


@pytest.fixture
def server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[EndpointServer]:
    """A server of a model that lives elsewhere, which the site and its child processes may reach."""
    settings.ENDPOINT_TRUSTED_NETWORKS = [ip_network("127.0.0.0/8")]
    monkeypatch.setenv("ENDPOINT_TRUSTED_NETWORKS", "127.0.0.0/8")
    with endpoint_server() as server:
        yield server
