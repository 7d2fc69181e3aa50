"""Every test of training keeps its artifacts apart."""

import pytest
from django.test import Client

from tests.training.factories import admin


@pytest.fixture(autouse=True)
def isolated_artifacts(own_artifacts: None) -> None:
    """Nothing reaches the artifacts of the site."""


@pytest.fixture
def as_admin(client: Client) -> Client:
    """The browser of an admin of the whole site."""
    client.force_login(admin())
    return client
