"""The files of model versions, in Django's storage `artifacts`: a folder each, named by what is in it."""

import contextlib
import hashlib
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.files.storage import Storage, storages

from training.models import ModelVersion


class ArtifactError(Exception):
    """The files of a version are missing or are not those that its run stored."""


def artifact_storage() -> Storage:
    return storages["artifacts"]


def folder_hash(folder: Path) -> str:
    """SHA-256 over the names and contents of a flat folder's files."""
    return hash_of({path.name: path.open for path in folder.iterdir()})


def hash_of(files: Mapping[str, Callable[[str], Any]]) -> str:
    """SHA-256 over the names of files and what is read when they are opened."""
    total = hashlib.sha256()
    for name in sorted(files):
        with files[name]("rb") as file:
            total.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def store(folder: Path, *, name: str) -> tuple[str, str]:
    """Copy a flat folder of files into the storage; returns its place there and its hash."""
    storage = artifact_storage()
    place = f"{name}-{uuid.uuid4().hex[:8]}"
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            storage.save(f"{place}/{path.name}", File(file))
    return place, folder_hash(folder)


def discard(place: str) -> None:
    """Remove what `store` put there; a place already gone is no error."""
    storage = artifact_storage()
    with contextlib.suppress(FileNotFoundError):
        for name in storage.listdir(place)[1]:
            storage.delete(f"{place}/{name}")
        storage.delete(place)


def check(version: ModelVersion) -> None:
    """Read the version's files where they lie; raises ArtifactError where they are not its own."""
    storage = artifact_storage()
    names = names_of(version, storage)
    found = hash_of({name: partial(storage.open, f"{version.artifact}/{name}") for name in names})
    compare(version, found)


@contextlib.contextmanager
def opened(version: ModelVersion) -> Iterator[Path]:
    """The version's files as a local folder, their hash checked.

    Raises ArtifactError when they are gone or were changed.
    """
    storage = artifact_storage()
    names = names_of(version, storage)
    with contextlib.ExitStack() as stack:
        try:
            folder = Path(storage.path(version.artifact))
        except NotImplementedError:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hone-artifact-")))
            for name in names:
                with (
                    storage.open(f"{version.artifact}/{name}") as remote,
                    (folder / name).open("wb") as local,
                ):
                    for chunk in remote.chunks():
                        local.write(chunk)
        compare(version, folder_hash(folder))
        yield folder


def names_of(version: ModelVersion, storage: Storage) -> list[str]:
    """The names of the version's files; raises ArtifactError if there are none."""
    try:
        names = storage.listdir(version.artifact)[1]
    except FileNotFoundError:
        names = []
    if not names:
        raise ArtifactError(
            f"the files of {version.name} are gone from the artifact storage "
            f"({version.artifact}): restore them, or train the version again."
        )
    return names


def compare(version: ModelVersion, found: str) -> None:
    """Raise ArtifactError if the hash found is not the version's."""
    if found != version.artifact_hash:
        raise ArtifactError(
            f"the files of {version.name} ({version.artifact}) are not those its run stored: "
            "their hash differs. Restore them from a backup, or train the version again."
        )
