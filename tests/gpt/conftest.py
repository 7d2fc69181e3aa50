from pathlib import Path

import pytest
import torch

from tests.gpt.tiny_pretraining import MOUSE, shards_in
from training.gpt.config import PRESETS
from training.gpt.corpus.shards import Shards


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Models of a few thousand weights lose more by waiting for a second thread than they gain."""
    torch.set_num_threads(1)


@pytest.fixture
def a_mouse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset "tiny" so small that it learns in a second."""
    monkeypatch.setitem(PRESETS, "tiny", MOUSE)


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    """The sentences that a mouse learns."""
    return shards_in(tmp_path / "corpus")
