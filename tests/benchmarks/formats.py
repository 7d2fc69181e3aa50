"""Reading 1,000,000 comparisons from a file to records, beside `datasets`, which gives only rows."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.interleaved import Row, progress

COMPARISONS = 1_000_000
CONTAINERS = ("jsonl", "json", "csv", "parquet")
READ = """
import resource, sys, time
from training.formats.reader import read_records
began = time.perf_counter()
count = sum(1 for _ in read_records(sys.argv[1]))
print(count / (time.perf_counter() - began), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
PEER = """
import sys, time
from datasets import load_dataset
kind = {"jsonl": "json"}.get(sys.argv[1].rpartition(".")[2], sys.argv[1].rpartition(".")[2])
began = time.perf_counter()
count = sum(1 for _ in load_dataset(kind, data_files=sys.argv[1], split="train", streaming=True))
print(count / (time.perf_counter() - began), 0)
"""
CONVERT = """
import sys
import pyarrow.csv, pyarrow.json, pyarrow.parquet
table = pyarrow.json.read_json(sys.argv[1])
(pyarrow.csv.write_csv if sys.argv[2].endswith("csv") else pyarrow.parquet.write_table)(table, sys.argv[2])
"""


def rows() -> Iterator[Row]:
    """`read-KIND` in rows a second, and `memory-KIND`: the whole process beside the size of the file."""
    folder = Path(tempfile.mkdtemp(prefix="hone-bench-"))
    try:
        for number, kind in enumerate(CONTAINERS):
            path = write_comparisons(folder, kind)
            rate, megabytes = measure(READ, path)
            peer, _ = measure(PEER, path)
            progress("formats", number + 1, len(CONTAINERS))
            what = f"{COMPARISONS:,} comparisons"
            yield Row(name=f"read-{kind}", what=f"{what}, to records", unit="rows/s", ours=rate, peer=peer)
            size = path.stat().st_size / 2**20
            yield Row(name=f"memory-{kind}", what=f"{what}, file", unit="MB", ours=megabytes, peer=size)
    finally:
        shutil.rmtree(folder)


def measure(script: str, path: Path) -> tuple[float, float]:
    """Rows a second and the largest memory in MB, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True
    )
    rate, megabytes = map(float, done.stdout.split())
    return rate, megabytes


def comparison(number: int) -> dict[str, object]:
    """One of many different comparisons."""
    return {
        "prompt": f"Question number {number}: what is the colour of the sky over there, and why?",
        "chosen": f" It is blue, mostly, for reason {number}, because the light is scattered by the air.",
        "rejected": f" It is green, says number {number}, and nobody knows why that should be so.",
        "annotator": number % 50,
        "margin": 0.5,
    }


def write_comparisons(folder: Path, kind: str) -> Path:
    """A file of comparisons; the one of JSON Lines is the source of the others."""
    lines, path = folder / "comparisons.jsonl", folder / f"comparisons.{kind}"
    if not lines.exists():
        with lines.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(comparison(number)) + "\n" for number in range(COMPARISONS))
    if kind == "json":
        with lines.open(encoding="utf-8") as source, path.open("w", encoding="utf-8") as file:
            file.write("[")
            file.writelines(f",{line}" if number else line for number, line in enumerate(source))
            file.write("]")
    elif kind != "jsonl":
        # In a process of its own: what is started from a process with a large table counts its memory, too.
        subprocess.run([sys.executable, "-c", CONVERT, str(lines), str(path)], check=True)
    return path
