"""Every test of training keeps its artifacts apart."""

import pytest


@pytest.fixture(autouse=True)
def apart(own_artifacts: None) -> None:
    """Nothing reaches the artifacts of the site."""
