"""Stanford Human Preferences (SHP): two answers to a post, one with more votes (Ethayarajh et al. 2022)."""

import re
from collections.abc import Iterator

from training.formats.records import Record
from training.formats.shape import Shape, preferred, record_of
from training.formats.values import Values, parse_flag, parse_identity, parse_number, parse_split


def parse(number: int, values: Values) -> Iterator[Record]:
    """The answer with the label 1 is A, which is then the better one."""
    side = 0 if parse_flag("labels", values["labels"]) else 1
    scores = None
    if "score_a" in values and "score_b" in values:
        scores = parse_number("score_A", values["score_a"]), parse_number("score_B", values["score_b"])
    domain = str(values.get("domain", ""))
    split = re.search(r"_(train|validation|test)\Z", domain)
    yield record_of(
        number,
        values,
        name="history",
        prompt=values["history"],
        samples={"human_ref_A": values["human_ref_a"], "human_ref_B": values["human_ref_b"]},
        judgements=[preferred(side, scores=scores)],
        group=parse_identity("post_id", values.get("post_id")),
        split=parse_split(values.get("split") or (split and split[1])),
    )


SHAPES = (
    Shape(
        format="shp",
        title="two answers to a post",
        needs={
            "history": "prompt",
            "human_ref_a": "sample",
            "human_ref_b": "sample",
            "labels": "which one is better",
        },
        takes={"score_[ab]": "votes", "domain": "split"},
        parse=parse,
    ),
)
