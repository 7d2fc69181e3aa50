"""A million comparisons into files, without the database; `pytest -m slow -s` prints how fast."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

pytestmark = pytest.mark.slow

WRITE = """
import resource, sys, time
from training.formats.writer import container_of, encode, write_file

columns = dict.fromkeys(("prompt", "chosen", "rejected", "group", "annotator", "split"), "string")
rows = (
    {"prompt": f"Prompt {n} " + "word " * 20, "chosen": f" one {n} " + "text " * 40,
     "rejected": f" two {n} " + "text " * 40, "group": str(n // 6), "annotator": str(n % 40),
     "split": "train"}
    for n in range(1_000_000)
)
start = time.perf_counter()
write_file(sys.argv[1], encode(rows, container_of(sys.argv[1]), columns))
taken = time.perf_counter() - start
megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{1_000_000 / taken:,.0f} rows a second, {megabytes:.0f} MB")
"""


@pytest.mark.parametrize("container", ["jsonl", "jsonl.gz", "csv", "parquet"])
def test_a_million_rows_take_little_memory(container: str, tmp_path: Path) -> None:
    file = tmp_path / f"rows.{container}"
    command = [sys.executable, "-c", WRITE, str(file)]
    done = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=True)
    print(f"{container}: {done.stdout.strip()}")
    megabytes = int(done.stdout.split()[-2])
    assert megabytes < 300
    file.unlink()
