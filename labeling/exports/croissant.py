"""Croissant metadata of a data set: its files, and the columns of each, for search engines and loaders.

The vocabulary is Croissant 1.0 of MLCommons.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labeling.models import PreferenceSnapshot, Project
from training.formats.answers import MEANINGS
from training.formats.writer import Columns, ColumnType

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
TYPES = {"bool": "sc:Boolean", "int64": "sc:Integer", "integers": "sc:Integer", "double": "sc:Float"}
"""Of columns; all others are text."""
PARTS: Mapping[str, tuple[str, ...]] = {"messages": ("role", "content"), "samples": ("text", "model")}
"""Of the objects in columns that are lists of them."""


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file of a data set."""

    configuration: str
    split: str
    path: str
    """In the folder of the data set."""
    rows: int
    columns: Columns


def croissant(
    project: Project, files: Sequence[DataFile], *, folder: Path, snapshot: PreferenceSnapshot
) -> dict[str, Any]:
    """The metadata of a data set whose files are in `folder`."""
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": project.slug,
        "description": f"Human feedback of the project “{project.name}”, exported from Hone.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "version": "1.0.0",
        "citeAs": f"Snapshot {snapshot.hash}",
        "datePublished": snapshot.created.date().isoformat(),
        "distribution": [_file_object(each, folder) for each in files],
        "recordSet": [_record_set(each) for each in files],
    }


def _file_object(file: DataFile, folder: Path) -> Mapping[str, Any]:
    with (folder / file.path).open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "description": f"The {file.rows} rows of {file.configuration}, split {file.split}.",
        "contentUrl": file.path,
        "contentSize": f"{(folder / file.path).stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": digest,
    }


def _record_set(file: DataFile) -> Mapping[str, Any]:
    key = f"{file.configuration}-{file.split}"
    return {
        "@type": "cr:RecordSet",
        "@id": key,
        "name": key,
        "description": f"{file.configuration}, split {file.split}.",
        "field": [_field(key, file, name, kind) for name, kind in file.columns.items()],
    }


def _field(key: str, file: DataFile, name: str, kind: ColumnType) -> Mapping[str, Any]:
    shared = {
        "@type": "cr:Field",
        "@id": f"{key}/{name}",
        "name": name,
        "description": MEANINGS.get(name, name),
    }
    source = {"fileObject": {"@id": file.path}, "extract": {"column": name}}
    if kind not in PARTS:
        repeated = {"repeated": True} if kind == "integers" else {}
        return {**shared, "dataType": TYPES.get(kind, "sc:Text"), **repeated, "source": source}
    parts = [
        {
            "@type": "cr:Field",
            "@id": f"{key}/{name}/{part}",
            "name": part,
            "dataType": "sc:Text",
            "repeated": True,
            "source": {**source, "transform": {"jsonPath": f"$[*].{part}"}},
        }
        for part in PARTS[kind]
    ]
    return {**shared, "repeated": True, "subField": parts}
