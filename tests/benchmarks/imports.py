"""Importing comparisons with their answers into the database, beside bulk inserts by the ORM.

The peer makes the same prompts, samples and tasks with `create_tasks`, without the answers.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.formats import comparison
from tests.benchmarks.interleaved import Row, progress

COMPARISONS = int(os.environ.get("HONE_BENCH_COMPARISONS", "100000"))
PEER_ROWS = 5_000
ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, resource, sys, time
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "feedback_site.settings")
import django
django.setup()
from labeling.imports import ImportOptions, Source, import_records
from labeling.models import Generator, Project
from labeling.prompts import add_prompts
from labeling.tasks import create_tasks
from training.formats.reader import read_records
which, path, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
project = Project.objects.create(slug=which, name=which, feedback="pair", samples_per_task=2)
began = time.perf_counter()
if which == "ours":
    reader = read_records(path)
    result = import_records(project, [Source(reader, reader.format)], options=ImportOptions(), author=None)
    assert result.answers == rows, result
else:
    generator = Generator.objects.create(name="peer")
    prompts = add_prompts(project, [f"Question {number}" for number in range(rows)])
    texts = {prompt: [f" yes {prompt.pk}", f" no {prompt.pk}"] for prompt in prompts}
    create_tasks(project=project, generator=generator, completions=texts)
print(rows / (time.perf_counter() - began), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def rows() -> Iterator[Row]:
    """Rows a second with all answers, and the memory of the importing process beside the file's size."""
    folder = Path(tempfile.mkdtemp(prefix="hone-bench-"))
    environment = {**os.environ, "HONE_HOME": str(folder / "home")}
    try:
        manage = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity=0"]
        subprocess.run(manage, env=environment, check=True)
        path = folder / "comparisons.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(comparison(number)) + "\n" for number in range(COMPARISONS))
        peer, _ = measure("peer", path, PEER_ROWS, environment)
        progress("imports", 1, 2)
        ours, megabytes = measure("ours", path, COMPARISONS, environment)
        progress("imports", 2, 2)
        what = f"{COMPARISONS:,} comparisons into the database"
        yield Row(name="import", what=what, unit="rows/s", ours=ours, peer=peer)
        size = path.stat().st_size / 2**20
        yield Row(name="import-memory", what=f"{what}; file", unit="MB", ours=megabytes, peer=size)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(which: str, path: Path, count: int, environment: dict[str, str]) -> tuple[float, float]:
    """Rows a second and the largest memory in MB, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, which, str(path), str(count)],
        env=environment, cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    rate, megabytes = map(float, done.stdout.split())
    return rate, megabytes
