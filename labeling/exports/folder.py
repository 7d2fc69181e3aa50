"""Exports as folders: a file for each split, or a data set that `datasets.load_dataset` reads.

A data set has the configurations `preferences` (or `demonstrations`), `answers` and `prompts`, each with a
Parquet file for each split; `README.md` is its data card, and `croissant.json` its metadata.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from labeling.exports.croissant import DataFile, croissant
from labeling.exports.data_card import data_card
from labeling.exports.export import Export
from labeling.exports.formats import FORMATS, Split
from labeling.exports.options import ExportError, ExportOptions, check_options, parse_options
from labeling.models import Project
from labeling.preferences import create_snapshot
from training.formats.writer import write_file
from training.formats.writers import label_studio, llama_factory

SPLITS: tuple[Split, ...] = ("train", "heldout")


def write_folder(project: Project, options: ExportOptions, folder: Path) -> dict[str, Export]:
    """Write one format into a new or empty folder, each split in a file of its own; the exports by file.

    Formats of other labelling tools are one file, with what the tool needs to open it.
    """
    chosen = options.format

    def fill(folder: Path) -> dict[str, Export]:
        if chosen.source == "tasks":
            return _write_tasks(project, options, folder)
        container = (
            "json" if chosen.name == "llama-factory" else "jsonl" if chosen.name == "openai" else "parquet"
        )
        exports = _write_splits(project, options, folder, container)
        if chosen.name == "llama-factory":
            names = {Path(file).stem: file for file in exports}
            ranking = project.feedback != Project.FeedbackKind.REWRITE
            conversational = Export(project, options).conversational
            info = llama_factory.dataset_info(
                {f"{project.slug}_{name}": file for name, file in names.items()},
                ranking=ranking,
                conversational=conversational,
            )
            _write_text(folder / "dataset_info.json", json.dumps(info, indent=2) + "\n")
        return exports

    return _make_folder(folder, fill)


def write_data_set(
    project: Project,
    given: Mapping[str, Any],
    folder: Path,
    *,
    versions: Mapping[str, Sequence[str]],
) -> dict[str, Export]:
    """Write preferences, answers and prompts into a new or empty folder, with a data card and metadata.

    `versions` are the names of the models that learned from each snapshot, by its hash. Without a snapshot in
    `given`, the answers of now are frozen as one, which names the data. Returns the exports by file.
    """
    writes = project.feedback == Project.FeedbackKind.REWRITE
    main = "demonstrations" if writes else "preferences"
    options = parse_options(project, {**given, "format": "prompt-completion" if writes else "trl-preference"})
    snapshot = options.snapshot or create_snapshot(project)
    configurations = {
        main: replace(options, snapshot=snapshot),
        "answers": replace(
            options, format=FORMATS["answers"], ties="drop", aggregate="none", snapshot=options.snapshot
        ),
        "prompts": replace(
            options, format=FORMATS["prompt-only"], ties="drop", aggregate="none", snapshot=None
        ),
    }
    for each in configurations.values():
        check_options(project, each)

    def fill(folder: Path) -> dict[str, Export]:
        exports: dict[str, Export] = {}
        files: list[DataFile] = []
        for name, chosen in configurations.items():
            place = folder / name
            place.mkdir()
            for file, export in _write_splits(project, chosen, place, "parquet").items():
                exports[f"{name}/{file}"] = export
                files.append(
                    DataFile(
                        configuration=name,
                        split=Path(file).stem,
                        path=f"{name}/{file}",
                        rows=export.written,
                        columns=export.columns,
                    )
                )
            if not any(each.configuration == name for each in files):
                place.rmdir()
        _write_text(
            folder / "README.md",
            data_card(project, files, snapshot=snapshot, versions=versions, names=options.names),
        )
        metadata = croissant(project, files, folder=folder, snapshot=snapshot)
        _write_text(folder / "croissant.json", json.dumps(metadata, indent=2, ensure_ascii=False) + "\n")
        return exports

    return _make_folder(folder, fill)


def _write_splits(
    project: Project, options: ExportOptions, folder: Path, container: str
) -> dict[str, Export]:
    """Write a file for each split that has rows; the exports by file."""
    wanted = SPLITS if options.split in {None, "all"} else (options.split,)
    exports: dict[str, Export] = {}
    for split in wanted:
        assert split is not None
        export = Export(project, replace(options, split=split))
        file = folder / f"{split}.{container}"
        write_file(file, export.encode(container))
        if wanted == SPLITS:
            # The other split is in the file beside it.
            export.left_out = type(export.left_out)(
                {reason: count for reason, count in export.left_out.items() if "--split" not in reason}
            )
        if export.written:
            exports[file.name] = export
        else:
            file.unlink()
    return exports


def _write_tasks(project: Project, options: ExportOptions, folder: Path) -> dict[str, Export]:
    export = Export(project, options)
    name = "tasks.json" if options.format.name == "label-studio" else "records.json"
    write_file(folder / name, export.encode("json"))
    if options.format.name == "label-studio":
        config = label_studio.labeling_config(
            project.feedback, samples=project.samples_per_task, scale=project.scale
        )
        _write_text(folder / "labeling_config.xml", config + "\n")
    return {name: export}


def _make_folder(folder: Path, fill: Callable[[Path], dict[str, Export]]) -> dict[str, Export]:
    """Fill a folder that is new or empty; after an error it is as before."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder}: is there already, and not empty; name a new folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            made = Path(temporary) / "made"
            made.mkdir()
            exports = fill(made)
            if folder.exists():
                folder.rmdir()
            shutil.move(made, folder)
    except OSError as error:
        raise ExportError(
            f"{folder}: {error.strerror or error}; name a folder that can be written."
        ) from error
    return exports


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
