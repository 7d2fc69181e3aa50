"""WikiText in the layouts it was published in."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict, disable_progress_bars
from pyarrow import parquet

from tests.gpt.corpus_files import documents, read, shared, write
from tests.gpt.fake_hub import hub_with
from training.gpt.config import TokenizerConfig
from training.gpt.corpus.wikitext import is_title, join_articles
from training.gpt.errors import InputError
from training.gpt.tokenizer import Tokenizer

disable_progress_bars()

# As published: each line, blank ones too, begins and ends with a blank.
ARTICLE = (
    " \n = {title} = \n \n {title} is a <unk> word . \n \n = = History = = \n \n It was = 3 = once . \n"
    " = a table = \n \n"
)
LAYOUTS = ["tokens", "zip", "txt", "parquet", "dataset"]
SPLITS = {"train": 4, "valid": 2, "test": 3}


def text_of(split: str) -> str:
    return "".join(ARTICLE.format(title=f"{split} {number}") for number in range(SPLITS[split]))


def publish(raw: Path, layout: str, name: str = "wikitext-2") -> None:
    """A small WikiText in one of its layouts. On the hub a row is a line, and blank ones are empty."""
    rows = {
        split: [line + "\n" if line.strip() else "" for line in text_of(split).split("\n")[:-1]]
        for split in SPLITS
    }
    if layout == "tokens":
        for split in SPLITS:
            write(raw / name / f"wiki.{split}.tokens", text_of(split))
    elif layout == "zip":
        with zipfile.ZipFile(raw / f"{name}-v1.zip", "w") as archive:
            for split in SPLITS:
                archive.writestr(f"{name}/wiki.{split}.tokens", text_of(split))
    elif layout == "txt":
        for split in SPLITS:
            write(raw / name / f"{split}.txt", text_of(split))
        write(raw / name / "README", "about it")
    elif layout == "parquet":
        folder = raw / f"{name}-v1"
        folder.mkdir()
        for split, lines in rows.items():
            long = "validation" if split == "valid" else split
            parquet.write_table(pa.table({"text": lines}), folder / f"{long}-00000-of-00001.parquet")
    else:
        sets = {split: Dataset.from_dict({"text": lines}) for split, lines in rows.items()}
        sets["validation"] = sets.pop("valid")
        DatasetDict(sets).save_to_disk(raw / name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_articles_in_the_published_splits(tmp_path: Path, layout: str) -> None:
    publish(tmp_path, layout)
    reading, found = read("wikitext-2", raw=tmp_path)
    assert [file.split for file in reading.files] == ["test", "validation", "train"]
    assert len(found) == sum(SPLITS.values())
    assert found[0] == (
        "= test 0 = \n\n test 0 is a <unk> word . \n\n = = History = = \n\n It was = 3 = once . \n"
        " = a table ="
    )
    assert [text.split("\n")[0] for text in found[5:]] == [f"= train {number} = " for number in range(4)]


@pytest.mark.parametrize("name", ["wikitext-103", "wikitext-2-raw", "wikitext-103-raw"])
def test_its_other_sizes_go_by_name_too(tmp_path: Path, name: str) -> None:
    publish(tmp_path, "parquet", name)
    assert len(documents(name, raw=tmp_path)) == sum(SPLITS.values())


def test_a_folder_by_its_path_is_read_the_same_way(tmp_path: Path) -> None:
    publish(tmp_path, "tokens")
    assert documents(tmp_path / "wikitext-2") == documents("wikitext-2", raw=tmp_path)


def test_a_copy_without_its_train_split_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "wikitext-2" / "wiki.valid.tokens", text_of("valid"))
    with pytest.raises(
        InputError, match=r"wikitext-2: .*lacks the train split or all others; copy the whole"
    ):
        documents("wikitext-2", raw=tmp_path)


def test_the_real_validation_split_has_sixty_articles() -> None:
    path = shared("wikitext-2/valid.txt")
    found = documents(path)
    assert len(found) == 60
    assert found[0].startswith("= Homarus gammarus = \n")
    assert all(is_title(text.split("\n")[0]) for text in found)
    assert sum(text.count("\n = = ") for text in found) == path.read_text().count("\n = = ")


def test_nothing_of_a_text_is_lost_between_articles() -> None:
    lines = text_of("train").split("\n")
    assert "\n".join(join_articles(lines)).split() == " ".join(lines).split()


def test_the_literal_unknown_word_is_the_unknown_token(tmp_path: Path) -> None:
    texts = ["the <unk> sat , on <unk> .", "The <UNK> <unk> <unk> (<unk>)"]
    tokenizer = Tokenizer.train(texts, TokenizerConfig(tokenizer="word", vocab_size=100))
    the, unknown, comma = (tokenizer.encode(word)[0] for word in ("the", "<unk>", ","))
    assert unknown == tokenizer.unknown_id
    assert tokenizer.encode("the <unk>, dog") == [the, unknown, comma, unknown]
    ids = {tokenizer.token(number) for number in range(tokenizer.vocab_size)}
    assert len(ids) == tokenizer.vocab_size == 3 + len({"the", "sat", ",", "on", ".", "(", ")"})


CARD = "\n".join(
    ["---", "configs:", "- config_name: wikitext-2-v1", "  data_files:"]
    + [f"  - split: {split}\n    path: wikitext-2-v1/{split}-*" for split in ("train", "validation", "test")]
    + ["---", ""]
)


def looked_for(name: str, raw: Path, *, hub: str) -> subprocess.CompletedProcess[str]:
    """Look for a data set in a process of its own: where the hub is must be known when that begins."""
    code = (
        "import sys; from pathlib import Path; from training.gpt.corpus.sources import find_files\n"
        "print([file.split for file in find_files(sys.argv[1], Path(sys.argv[2])).files])"
    )
    return subprocess.run(
        [sys.executable, "-c", code, name, str(raw)],
        env={**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(raw.parent / "cache"), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_is_not_there_is_fetched_from_the_hub_once(tmp_path: Path) -> None:
    publish(tmp_path, "parquet")
    files = {
        f"wikitext-2-v1/{each.name}": each.read_bytes() for each in (tmp_path / "wikitext-2-v1").iterdir()
    }
    raw = tmp_path / "raw"
    with hub_with("Salesforce/wikitext", {"README.md": CARD.encode(), **files}) as address:
        fetched = looked_for("wikitext-2", raw, hub=address)
    assert sorted(fetched.stdout.split("'")[1::2]) == ["test", "train", "validation"], fetched.stderr
    assert [each.name for each in raw.iterdir()] == ["wikitext-2"]
    again = looked_for("wikitext-2", raw, hub=address)  # the hub is gone
    assert again.stdout == fetched.stdout
    assert documents("wikitext-2", raw=raw) == documents("wikitext-2", raw=tmp_path)


def test_without_copy_and_network_one_line_says_what_to_do(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    result = looked_for("wikitext-103", raw, hub="http://127.0.0.1:9")  # where nobody answers
    *_, last = result.stderr.strip().splitlines()
    assert f"wikitext-103: there is no copy at {raw}/wikitext-103, and none can be had from the hub (" in last
    assert "put the published files there, or give their folder as the source" in last
    assert not raw.exists()
