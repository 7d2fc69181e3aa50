"""The README names what there is: every command, every setting, every address of the API."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands
from drf_spectacular.generators import SchemaGenerator

README = (Path(settings.BASE_DIR) / "README.md").read_text(encoding="utf-8")
OURS = {"feedback_site", "labeling", "training"}


def test_every_command_is_in_the_table() -> None:
    commands = {name for name, app in get_commands().items() if app in OURS}
    assert commands == set(re.findall(r"^\| `([a-z_]+)` \| .+ \|$", README, flags=re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "pattern"), [("gpt", "[!_]*.py"), ("rlhf", "**/[!_]*.py"), ("studies", "[!_]*.py")]
)
def test_every_module_of_a_part_is_in_its_guide(name: str, pattern: str) -> None:
    folder = Path(settings.BASE_DIR) / "training" / name
    guide = (folder / "README.md").read_text(encoding="utf-8")
    modules = {path.name for path in folder.glob(pattern)}
    assert {module for module in modules if f"`{module}`" not in guide} == set()


def test_every_setting_is_described() -> None:
    source = (Path(settings.BASE_DIR) / "feedback_site" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'(?:environ\.get|env_bool|env_list)\(\s*"([A-Z_]+)"', source))
    assert {name for name in read if f"`{name}`" not in README} == set()


@pytest.mark.parametrize(
    "word",
    ["claim", "submit", "skip", "comparisons", "export", "models", "runs", "cancel", "resume", "token"],
)
def test_the_api_has_what_the_readme_says(word: str) -> None:
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    paths = generator.get_schema(request=None, public=True)["paths"]  # type: ignore[no-untyped-call]
    assert any(f"/{word}/" in path for path in paths)
    assert word in README
