"""The web and the worker start without torch."""

import os
import subprocess
import sys

CODE = """
import importlib, sys, django, django.urls
django.setup()
for name in ("feedback_site.wsgi", "training.management.commands.worker",
             "training.management.commands.execute_run"):
    importlib.import_module(name)
    django.urls.get_resolver().url_patterns
    if "torch" in sys.modules:
        sys.exit(f"{name} loads torch")
"""


def test_they_load_no_torch() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "feedback_site.settings"}
    ended = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
