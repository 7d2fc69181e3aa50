"""Preparations by several processes, killed ones, and ones with little memory."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpt.corpus_files import write
from training.gpt.config import CorpusConfig, TokenizerConfig
from training.gpt.corpus.prepare import prepare

PREPARE = """
import json, sys
from pathlib import Path
from training.gpt.config import CorpusConfig, TokenizerConfig
from training.gpt.corpus.prepare import prepare

reported = set()
def tell(what, share):
    if what not in reported:
        reported.add(what)
        print(what, flush=True)
corpus = CorpusConfig(source=sys.argv[1], drop_duplicates=True)
words = TokenizerConfig(tokenizer="word", vocab_size=500)
found = prepare(corpus, words, Path(sys.argv[2]), on_progress=tell)
print(json.dumps({"reused": found.reused, "folder": str(found.folder)}), flush=True)
"""

# The limit is on what a process may write to (its heap), as files mapped into memory can be dropped again.
LIMITED = (
    """
import resource, sys
warm, headroom = sys.argv.pop(), int(sys.argv.pop())
from pathlib import Path
from training.gpt.config import CorpusConfig, TokenizerConfig
from training.gpt.corpus.prepare import prepare
# A small corpus first: threads and libraries take what they take whatever the size.
prepare(CorpusConfig(source=warm), TokenizerConfig(tokenizer="word", vocab_size=500), Path(sys.argv[2]))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
limit = int(status["VmData"].split()[0]) * 1024 + headroom
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    open(sys.argv[1]).read()
except MemoryError:
    print("too large to read at once")
"""
    + PREPARE
)


def process(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "RAYON_NUM_THREADS": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def corpus(path: Path, *, megabytes: float) -> Path:
    """Lines of made-up words."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghij", k=rng.randint(2, 8))) for _ in range(2000)]
    with path.open("w") as file:
        while file.tell() < megabytes * 2**20:
            file.writelines(" ".join(rng.choices(words, k=60)) + "\n" for _ in range(100))
    return path


def test_of_several_processes_one_prepares_and_the_others_wait(tmp_path: Path) -> None:
    source = corpus(tmp_path / "a.txt", megabytes=1)
    begun = [process(PREPARE, source, tmp_path / "home") for _ in range(3)]
    ended = [each.communicate(timeout=120) for each in begun]
    assert [each.returncode for each in begun] == [0, 0, 0], ended
    results = [json.loads(output.splitlines()[-1]) for output, _ in ended]
    assert sorted(result["reused"] for result in results) == [False, True, True]
    assert len({result["folder"] for result in results}) == 1
    assert [str(each) for each in (tmp_path / "home").iterdir()] == [results[0]["folder"]]


def test_equal_corpora_are_prepared_equally(tmp_path: Path) -> None:
    source = corpus(tmp_path / "a.txt", megabytes=0.2)
    folders = []
    for name in ("one", "two"):
        options = TokenizerConfig(vocab_size=400)
        found = prepare(CorpusConfig(source=str(source)), options, tmp_path / name)
        folders.append(
            {each.name: each.read_bytes() for each in found.folder.iterdir() if each.name != "corpus.json"}
        )
    assert folders[0] == folders[1]


def killed(source: Path, home: Path, *, stage: str) -> None:
    """A preparation killed in one of its stages."""
    victim = process(PREPARE, source, home)
    assert victim.stdout is not None
    for line in victim.stdout:
        if line.strip() == stage:
            break
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert victim.returncode == -signal.SIGKILL


@pytest.mark.parametrize("stage", ["building the vocabulary", "tokenizing"])
def test_a_killed_preparation_leaves_nothing_that_could_be_taken_for_whole(
    tmp_path: Path, stage: str
) -> None:
    source, home = corpus(tmp_path / "a.txt", megabytes=2), tmp_path / "home"
    killed(source, home, stage=stage)
    (left,) = home.iterdir()
    assert left.name.endswith(".partial")
    found = process(PREPARE, source, home)
    output, errors = found.communicate(timeout=120)
    result = json.loads(output.splitlines()[-1])
    assert not result["reused"], errors
    assert [str(each) for each in home.iterdir()] == [result["folder"]]


def test_what_a_killed_preparation_left_is_removed_by_the_next_of_any_corpus(tmp_path: Path) -> None:
    home = tmp_path / "home"
    killed(corpus(tmp_path / "a.txt", megabytes=2), home, stage="tokenizing")
    other = write(tmp_path / "b.txt", "one\ntwo\nthree\n")
    found = prepare(CorpusConfig(source=str(other)), TokenizerConfig(tokenizer="word"), home)
    assert [each.name for each in home.iterdir()] == [found.folder.name]


def test_what_another_process_is_working_on_is_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    worker = process(PREPARE, corpus(tmp_path / "a.txt", megabytes=2), home)
    assert worker.stdout is not None
    worker.stdout.readline()
    other = write(tmp_path / "b.txt", "one\ntwo\nthree\n")
    prepare(CorpusConfig(source=str(other)), TokenizerConfig(tokenizer="word"), home)
    _, errors = worker.communicate(timeout=120)
    assert worker.returncode == 0, errors
    assert len(list(home.iterdir())) == 2


def prepare_with_little_memory(tmp_path: Path, *, megabytes: int, headroom: int) -> None:
    source = corpus(tmp_path / "large.txt", megabytes=megabytes)
    warm = corpus(tmp_path / "small.txt", megabytes=1)
    limited = process(LIMITED, source, tmp_path / "home", headroom * 2**20, warm)
    output, errors = limited.communicate(timeout=3000)
    assert limited.returncode == 0, errors
    assert output.splitlines()[0] == "too large to read at once"
    folder = Path(json.loads(output.splitlines()[-1])["folder"])
    assert json.loads((folder / "corpus.json").read_text())["splits"]["train"]["tokens"] > megabytes * 100_000


@pytest.mark.slow
def test_a_corpus_three_times_the_memory_is_prepared(tmp_path: Path) -> None:
    prepare_with_little_memory(tmp_path, megabytes=24, headroom=8)


@pytest.mark.slow
def test_a_corpus_of_sixteen_times_the_memory_is_prepared(tmp_path: Path) -> None:
    prepare_with_little_memory(tmp_path, megabytes=256, headroom=16)
