"""The web and the worker start without torch."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["feedback_site.wsgi", "training.management.commands.worker", "training.management.commands.execute_run"],
)
def test_it_loads_no_torch(module: str) -> None:
    code = (
        "import django, sys; django.setup(); "
        f"import {module}; import django.urls; django.urls.get_resolver().url_patterns; "
        "sys.exit('torch was loaded' if 'torch' in sys.modules else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "feedback_site.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
