"""Every file of the shared data by the one reader: what comes out, counted by hand from the files."""

from collections import Counter
from pathlib import Path

import pytest

from training.formats.reader import RecordReader, read_records
from training.formats.records import Record
from training.formats.rows import FileProblem, Problem

DATA = Path(__file__).parents[3] / "shared" / "data"

DOCCANO, LABEL_STUDIO = "exports/doccano/data_import/tests/data", "exports/label-studio"

READ = {
    # file: format, records, samples, judgements by kind
    "preferences/hh-rlhf/harmless-base_test.jsonl.gz": ("hh", 2312, 4624, {"pair": 2312}),
    "preferences/hh-rlhf/helpful-base_test.jsonl.gz": ("hh", 2354, 4708, {"pair": 2354}),
    # 212 ranked groups, and 268 messages with one answer or with unranked ones; one ranking left a reply out
    "preferences/oasst/en_100_tree.jsonl": ("oasst", 480, 686, {"rank": 212}),
    "preferences/qa-feedback/dev_feedback.json": ("qa-feedback", 3000, 6000, {"pair": 3000}),
    "preferences/formats/dpo_en_demo.json": ("llama-factory", 300, 600, {"pair": 300}),
    "preferences/formats/dpo_zh_demo.json": ("llama-factory", 300, 600, {"pair": 300}),
    "preferences/formats/kto_en_demo.json": ("llama-factory", 300, 300, {"label": 300}),
    "formats/arena.jsonl": ("arena", 4, 8, {"pair": 4}),
    "formats/arena_kaggle.csv": ("arena", 4, 8, {"pair": 4}),
    "formats/argilla2_datasets.jsonl": ("argilla", 4, 8, {"pair": 4}),
    "formats/argilla2_records.json": ("argilla", 4, 8, {"pair": 8}),
    "formats/distilabel.jsonl": ("distilabel", 4, 8, {"score": 4}),
    "formats/helpsteer2.jsonl": ("helpsteer", 8, 8, {"score": 8}),
    "formats/hf_rows_wrapper.json": ("trl", 4, 8, {"pair": 4}),
    "formats/lf_alpaca_pref.json": ("llama-factory", 4, 8, {"pair": 4}),
    "formats/lf_alpaca_pref_old.json": ("llama-factory", 4, 8, {"pair": 4}),
    "formats/lf_sharegpt.json": ("llama-factory", 4, 4, {}),
    "formats/ls_json_min_pairwise.json": ("label-studio", 4, 8, {"pair": 4}),
    "formats/ls_pairwise.csv": ("label-studio", 4, 8, {"pair": 4}),
    "formats/ls_pairwise.json": ("label-studio", 4, 8, {"pair": 4}),
    "formats/ls_ranker.json": ("label-studio", 4, 8, {"pair": 4}),
    "formats/ls_rating.json": ("label-studio", 4, 4, {"score": 4}),
    "formats/ls_rlhf_template_tasks.json": ("label-studio", 4, 8, {}),
    "formats/nulls_from_datasets.jsonl": ("trl", 4, 8, {"pair": 4}),
    "formats/numeric_annotator.jsonl": ("trl", 4, 8, {"pair": 4}),
    "formats/pku_saferlhf.jsonl": ("pku-saferlhf", 4, 8, {"pair": 4}),
    "formats/red_team_attempts.json": ("red-team", 4, 4, {"score": 4}),
    "formats/shp.jsonl": ("shp", 4, 8, {"pair": 4}),
    "formats/system_prompt.jsonl": ("trl", 4, 8, {"pair": 4}),
    "formats/trl_messages.jsonl": ("trl", 4, 4, {}),
    **{
        f"formats/trl_pref_{name}": ("trl", 4, 8, {"pair": 4})
        for name in (
            "explicit.arrow",
            "explicit.csv",
            "explicit.json",
            "explicit.jsonl",
            "explicit.jsonl.gz",
            "explicit.jsonl.zst",
            "explicit.parquet",
            "explicit.tsv",
            "explicit_conv.jsonl",
            "implicit.jsonl",
            "implicit_conv.jsonl",
        )
    },
    "formats/trl_prompt_completion.jsonl": ("trl", 4, 4, {}),
    "formats/trl_prompt_only.jsonl": ("trl", 4, 0, {}),
    "formats/trl_prompt_only.jsonl.gz": ("trl", 4, 0, {}),
    "formats/trl_prompt_only_conv.jsonl": ("trl", 4, 0, {}),
    "formats/trl_text.jsonl": ("trl", 4, 0, {}),
    "formats/trl_tools_conv.jsonl": ("trl", 4, 8, {"pair": 4}),
    "formats/trl_unpaired.jsonl": ("trl", 4, 4, {"label": 4}),
    "formats/trl_unpaired_conv.jsonl": ("trl", 4, 4, {"label": 4}),
    "formats/ultrafeedback_binarized.jsonl": ("ultrafeedback", 4, 8, {"pair": 4}),
    "formats/ultrafeedback_raw.jsonl": ("ultrafeedback", 4, 16, {"score": 4}),
    "formats/webgpt.jsonl": ("webgpt", 4, 8, {"pair": 4}),
    f"{LABEL_STUDIO}/upstream_samples/llm_ranker_task_first5items.json": ("columns", 1, 5, {}),
    f"{DOCCANO}/example.txt": ("trl", 3, 0, {}),
    f"{DOCCANO}/example.utf16.csv": ("trl", 3, 0, {}),
    f"{DOCCANO}/text_classification/example.jsonl": ("trl", 3, 0, {}),
    f"{DOCCANO}/text_classification/example_fasttext.txt": ("trl", 4, 0, {}),
    **{
        f"dirty/{name}": ("trl", rows, 2 * rows, {"pair": rows})
        for name, rows in {
            "array.jsonl": 5,
            "bom.jsonl": 5,
            "cr_only.jsonl": 5,
            "crlf.jsonl": 5,
            "csv_pandas.csv": 1,
            "dup_keys.jsonl": 2,
            "dupes.jsonl": 55,
            "gold.jsonl": 1,
            "gz_not.jsonl.gz": 5,
            "gz_upper.jsonl.GZ": 5,
            "jsonl_named_json.json": 5,
            "nospace.jsonl": 1,
            "pretty.jsonl": 5,
            "same_both.jsonl": 8,
            "u2028.jsonl": 3,
            "utf16.jsonl": 5,
        }.items()
    },
    **{
        f"dirty/{name}": ("trl", rows, 0, {})
        for name, rows in {
            "array_prompts.json": 2,
            "bom_prompts.jsonl": 2,
            "bom_prompts.txt": 2,
            "formfeed_prompts.txt": 3,
            "prompts.csv": 2,
        }.items()
    },
    "dirty/dup_samples.jsonl": ("columns", 4, 4, {}),
    "dirty/semicolon_bom.csv": ("columns", 1, 2, {}),
    "dirty/kto_all_false.jsonl": ("trl", 12, 12, {"label": 12}),
    "dirty/kto_label_false.jsonl": ("trl", 4, 4, {"label": 4}),
    "dirty/label_int.jsonl": ("trl", 4, 4, {"label": 4}),
    "dirty/score_1to5.jsonl": ("trl", 4, 4, {"score": 4}),
    "dirty/string_row.jsonl": ("trl", 2, 2, {"pair": 1}),
}

REFUSED = {
    # file: records beside, number of problems, row of the first, and what it says
    "formats/trl_vision.jsonl": (0, 4, 1, 'has a part of the type "image": only text can be used'),
    f"{LABEL_STUDIO}/test_export_json_min/data.json": (0, 1, 1, "“data” has no prompt among image"),
    f"{LABEL_STUDIO}/test_export_json_min/data_repeater.json": (0, 1, 1, "“data” has no prompt among"),
    f"{LABEL_STUDIO}/upstream_samples/previous_export.json": (0, 1, 1, "“data” has no prompt among image"),
    f"{LABEL_STUDIO}/upstream_samples/humor_dataset_2_annotations.json": (
        0, 2, 1, "“annotations” of the type choices say nothing about samples",
    ),
    f"{DOCCANO}/seq2seq/example.csv": (2, 1, 2, "the columns “label” are not known"),
    f"{DOCCANO}/seq2seq/example.json": (2, 2, 3, "the columns “label” are not"),
    f"{DOCCANO}/seq2seq/example.jsonl": (2, 2, 3, "the columns “label” are not"),
    f"{DOCCANO}/text_classification/example.csv": (2, 1, 4, "the columns “label”"),
    f"{DOCCANO}/text_classification/example.json": (3, 1, 4, "the columns “label”"),
    f"{DOCCANO}/text_classification/example.invalid.2.csv": (2, 1, 2, "3 cells"),
    f"{DOCCANO}/text_classification/example_out_of_order_columns.csv": (
        2, 1, 4, "the columns “label”, “foo” are not known",
    ),
    "dirty/array_row.jsonl": (1, 1, 1, "neither an object nor a text"),
    "dirty/cut_off.jsonl": (4, 1, 5, "ends in the middle; is the file cut off?"),
    "dirty/empty_prompt.jsonl": (1, 2, 1, "“prompt” is empty"),
    "dirty/empty_strings.jsonl": (6, 1, 1, "“chosen” is empty, and so is “rejected”"),
    "dirty/hugemargin.jsonl": (5, 1, 1, "“margin” is 1e+300, more than 10,000"),
    "dirty/nan.jsonl": (5, 1, 1, "“margin” is NaN, not a finite number"),
    "dirty/negmargin.jsonl": (5, 1, 1, "“margin” is below 0"),
    "dirty/nul_escape.jsonl": (5, 1, 3, "“prompt” holds a NUL character: remove it"),
    "dirty/nul_prompts.jsonl": (6, 1, 3, "“prompt” holds a NUL character: remove it"),
    "dirty/nul_raw.jsonl": (2, 1, 3, "holds a NUL character: remove it"),
    "dirty/numbers.jsonl": (5, 1, 1, "“chosen” is not a string or a list of messages"),
    "dirty/surrogate.jsonl": (5, 1, 3, "“prompt” holds half a character"),
    "dirty/trailing_comma.json": (5, 1, 6, "a comma after the last row; remove it"),
    "dirty/trailing_comma.jsonl": (0, 5, 1, "a comma after the object; remove it"),
    "dirty/trailing_comma_inner.jsonl": (0, 5, 1, "a comma before the closing bracket"),
}  # fmt: skip

NOT_READ = {
    "formats/trl_stepwise.jsonl": "labels of single steps",
    "formats/trl_tokenized.jsonl": "ids of tokens, not texts",
    f"{LABEL_STUDIO}/test_export_json_min/label_config_repeater.json": "are not known: name them",
    "dirty/gz_damaged.jsonl.gz": "is damaged .*copy or download it again",
    "dirty/latin1.jsonl": "line 1 is not UTF-8; it looks like Windows Western",
}
EMPTY = {"dirty/blank.jsonl", "dirty/empty.jsonl"}
NO_DATA = {"LICENSE", "SOURCE.txt", "PROVENANCE.txt", "label_config_repeater.json"}


def opened(name: str) -> RecordReader:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not there")
    return read_records(DATA / name)


def parted(reader: RecordReader) -> tuple[list[Record], list[Problem]]:
    entries = list(reader)
    return (
        [each for each in entries if isinstance(each, Record)],
        [each for each in entries if isinstance(each, Problem)],
    )


@pytest.mark.parametrize("name", READ)
def test_a_file_is_read_whole(name: str) -> None:
    reader = opened(name)
    records, problems = parted(reader)
    kinds = Counter(judgement.kind for record in records for judgement in record.judgements)
    samples = sum(len(record.samples) for record in records)
    assert problems == []
    assert (reader.format, len(records), samples, dict(kinds)) == READ[name]
    assert all(record.prompt.text.strip() or name.startswith("dirty") for record in records)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_named_with_row_and_reason(name: str) -> None:
    beside, count, row, says = REFUSED[name]
    records, problems = parted(opened(name))
    assert (len(records), len(problems), problems[0].row) == (beside, count, row)
    assert says in str(problems[0])


@pytest.mark.parametrize("name", NOT_READ)
def test_a_file_that_cannot_be_used_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(FileProblem, match=NOT_READ[name]):
        opened(name)


@pytest.mark.parametrize("name", sorted(EMPTY))
def test_a_file_without_rows_gives_none(name: str) -> None:
    assert list(opened(name)) == []


def test_no_file_of_the_shared_data_is_forgotten() -> None:
    if not DATA.exists():
        pytest.skip(f"{DATA} is not there")
    there = {
        str(path.relative_to(DATA))
        for folder in ("formats", "dirty", "exports", "preferences")
        for path in (DATA / folder).rglob("*")
        if path.is_file() and path.name not in NO_DATA
    }
    assert there <= {*READ, *REFUSED, *NOT_READ, *EMPTY}
