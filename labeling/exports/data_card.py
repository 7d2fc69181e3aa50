"""The data card of a data set: what is in it, how far people agreed, and what they were asked."""

from collections.abc import Mapping, Sequence

from django.db.models import Count, Max, Min, Q
from django.utils.timezone import localtime

from labeling.exports.croissant import DataFile
from labeling.models import Annotation, Assignment, PreferenceSnapshot, Project
from labeling.quality.report import QualityReport
from training.formats.answers import ANSWER_COLUMNS, MEANINGS


def data_card(
    project: Project,
    files: Sequence[DataFile],
    *,
    snapshot: PreferenceSnapshot,
    versions: Mapping[str, Sequence[str]],
    names: bool,
) -> str:
    """The text of `README.md`: metadata for `datasets`, then the card in Markdown."""
    asked = project.kind.label[0].lower() + project.kind.label[1:]
    sections = (
        _metadata(project, files),
        f"# {project.name}\n\nHuman feedback from the project `{project.slug}`: {asked}.",
        _contents(files),
        _people(project, names=names),
        _agreement(project),
        _lineage(project, snapshot, versions),
        _columns(files),
        _guidelines(project),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _metadata(project: Project, files: Sequence[DataFile]) -> str:
    """The YAML block that names configurations and splits."""
    lines = ["---", f"pretty_name: {_quoted(project.name)}", "tags:", "- human-feedback", "configs:"]
    for number, name in enumerate(dict.fromkeys(file.configuration for file in files)):
        lines += [f"- config_name: {name}", *(["  default: true"] if number == 0 else []), "  data_files:"]
        for file in files:
            if file.configuration == name:
                lines += [f"  - split: {file.split}", f"    path: {file.path}"]
    if not files:
        lines[-1] = "configs: []"
    return "\n".join([*lines, "---"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _contents(files: Sequence[DataFile]) -> str:
    rows = [f"| {file.configuration} | {file.split} | {file.rows:,} | `{file.path}` |" for file in files]
    return "\n".join(
        ["## Contents", "", "| configuration | split | rows | file |", "|---|---|---:|---|", *rows]
    )


def _people(project: Project, *, names: bool) -> str:
    done = Assignment.objects.filter(project=project)
    counts = done.aggregate(
        people=Count("annotator", filter=Q(state="submitted"), distinct=True),
        answers=Count("pk", filter=Q(state="submitted")),
        skips=Count("pk", filter=Q(state="skipped")),
        first=Min("finished", filter=Q(state="submitted")),
        last=Max("finished", filter=Q(state="submitted")),
    )
    all_bad = Annotation.objects.for_project(project).latest_revisions().filter(all_bad=True).count()
    people, answers, skips = (f"{counts[each]:,}" for each in ("people", "answers", "skips"))
    gave = f"{people} people gave {answers} answers and skipped {skips} tasks"
    lines = [
        "## Annotators",
        "",
        f"- {gave}; {all_bad:,} answers say that all samples are bad.",
        f"- They are called by {'name' if names else 'number'}.",
    ]
    if counts["first"] is not None:
        first, last = (localtime(counts[each]).date().isoformat() for each in ("first", "last"))
        lines.insert(3, f"- Between {first} and {last}.")
    return "\n".join(lines)


def _agreement(project: Project) -> str:
    report = QualityReport.for_project(project)
    metrics = [*report.agreement, *report.agreement_by_criterion]
    lines = ["## Agreement", ""]
    if not metrics:
        return "\n".join([*lines, "No task has answers of two people, so agreement is unknown."])
    lines += ["| measure | value | 95 % interval | tasks |", "|---|---:|---|---:|"]
    lines += [
        f"| {each.name} | {each.value} | {each.range or 'too few tasks'} | {each.estimate.tasks:,} |"
        for each in metrics
    ]
    return "\n".join(lines)


def _lineage(project: Project, snapshot: PreferenceSnapshot, versions: Mapping[str, Sequence[str]]) -> str:
    known = project.snapshots.defer("content").order_by("pk")
    withdrawn = sum(each.withdrawn for each in known)
    lines = [
        "## Lineage",
        "",
        f"The rows for training are those of snapshot `{snapshot.hash}`.",
        f"{withdrawn:,} answers were withdrawn since from snapshots of the project, and are not here."
        if withdrawn
        else "No answer was withdrawn from a snapshot of the project.",
        "",
        "| snapshot | made | comparisons | ratings | demonstrations | withdrawn | trained models |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    lines += [
        f"| `{each.hash[:12]}` | {each.created.date().isoformat()} | {each.count:,} | {each.rating_count:,} "
        f"| {each.demonstration_count:,} | {each.withdrawn:,} "
        f"| {', '.join(versions.get(each.hash, [])) or '–'} |"
        for each in known
    ]
    return "\n".join(lines)


def _columns(files: Sequence[DataFile]) -> str:
    if not any(file.configuration == "answers" for file in files):
        return ""
    rows = [f"| `{name}` | {MEANINGS[name]} |" for name in ANSWER_COLUMNS]
    return "\n".join(["## Columns of answers", "", "| column | meaning |", "|---|---|", *rows])


def _guidelines(project: Project) -> str:
    guidelines = project.guidelines
    if guidelines is None or not guidelines.text.strip():
        return "## Guidelines\n\nThere are none."
    # As a quotation, so that headings of the text are none of the card.
    quoted = "\n".join(f"> {line}".rstrip() for line in guidelines.text.splitlines())
    return f"## Guidelines\n\nVersion {guidelines.version}:\n\n{quoted}"
