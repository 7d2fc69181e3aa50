"""Learning to summarize from feedback: two summaries and a choice, or one scored (Stiennon et al. 2020).

Also the older comparisons of four samples, of which one is best (Ziegler et al. 2019).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from training.formats.records import Record, RecordJudgement
from training.formats.shape import Shape, annotator_of, preferred, record_of
from training.formats.values import (
    Values,
    decode,
    parse_identity,
    parse_list,
    parse_number,
    parse_text,
    shorten,
)

SCALE = (1.0, 7.0)
MAX_CONFIDENCE = 9


def parse_choice(number: int, values: Values) -> Iterator[Record]:
    """Two summaries, and which was chosen."""
    summaries = [_object("summaries", each) for each in parse_list("summaries", values["summaries"])]
    choice = values["choice"]
    if len(summaries) != 2 or str(choice) not in ("0", "1"):
        raise ValueError(f'"choice" is {shorten(choice)}: it must be 0 or 1, of two summaries.')
    info = _object("info", values["info"])
    yield record_of(
        number,
        values,
        name="info",
        prompt=_post(info),
        samples={f"summaries {side}": _summary(each) for side, each in enumerate(summaries, start=1)},
        generators=[parse_identity("policy", each.get("policy")) for each in summaries],
        judgements=[preferred(int(choice), annotator=annotator_of(values))],
        source_id=parse_identity("id", info.get("id")),
    )


def parse_axes(number: int, values: Values) -> Iterator[Record]:
    """One summary, scored from 1 to 7 overall and by axes."""
    summary, info = _object("summary", values["summary"]), _object("info", values["info"])
    axes = _object("axes", summary.get("axes") or {})
    scores = {name: parse_number("axes", score) for name, score in axes.items() if score is not None}
    if "overall" not in scores:
        raise ValueError('"summary" has no score overall among its axes: leave the row out.')
    yield record_of(
        number,
        values,
        name="info",
        prompt=_post(info),
        samples={"summary": _summary(summary)},
        generators=[parse_identity("policy", summary.get("policy"))],
        judgements=[
            RecordJudgement(
                kind="score",
                scores=(scores["overall"],),
                scale=SCALE,
                criteria=(scores,),
                annotator=annotator_of(values),
            )
        ],
        source_id=parse_identity("id", info.get("id")),
        group=parse_identity("id", info.get("id")),
    )


def parse_best(number: int, values: Values) -> Iterator[Record]:
    """Several samples, and the number of the best, from 0."""
    names = sorted(name for name in values if name.startswith("sample"))
    best = parse_number("best", values["best"])
    if best not in range(len(names)):
        raise ValueError(f'"best" is {shorten(values["best"])}: it must be from 0 to {len(names) - 1}.')
    ranks = tuple(1 if position == best else 2 for position in range(len(names)))
    yield record_of(
        number,
        values,
        name="query",
        prompt=values["query"],
        samples={name: values[name] for name in names},
        judgements=[RecordJudgement(kind="best", ranks=ranks, annotator=annotator_of(values))],
    )


def _object(name: str, value: Any) -> Mapping[str, Any]:
    value = decode(value)
    if not isinstance(value, Mapping):
        raise ValueError(f'"{name}" is {shorten(value)}, not an object.')
    return value


def _summary(summary: Mapping[str, Any]) -> str:
    return parse_text("text", summary.get("text")).strip()


def _post(info: Mapping[str, Any]) -> str:
    """A post or an article as its summary is asked for."""
    if info.get("post") is not None:
        subreddit = str(info.get("subreddit") or "").removeprefix("r/")
        head = f"SUBREDDIT: r/{subreddit}\n\n" if subreddit else ""
        title = f"TITLE: {info['title']}\n\n" if info.get("title") else ""
        return f"{head}{title}POST: {str(info['post']).strip()}\n\nTL;DR:"
    if info.get("article") is not None:
        title = f"{info['title']}\n\n" if info.get("title") else ""
        return f"{title}{str(info['article']).strip()}\n\nTL;DR:"
    raise ValueError('"info" has neither a post nor an article: the summary is of nothing.')


SHAPES = (
    Shape(
        format="summarize-from-feedback",
        title="two summaries and the choice",
        needs={"info": "prompt", "summaries": "samples", "choice": "which one is better"},
        parse=parse_choice,
    ),
    Shape(
        format="summarize-from-feedback",
        title="a summary scored by axes",
        needs={"info": "prompt", "summary": "sample"},
        parse=parse_axes,
    ),
    Shape(
        format="summarize-from-feedback",
        title="several samples and the best",
        needs={"query": "prompt", r"sample_?\d": "sample", "best": "the best sample"},
        parse=parse_best,
    ),
)
