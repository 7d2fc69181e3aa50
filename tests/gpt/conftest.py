import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Models of a few thousand weights lose more by waiting for a second thread than they gain."""
    torch.set_num_threads(1)
