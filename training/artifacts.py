"""The files of model versions: one flat folder each in Django's storage `artifacts`, with a content hash."""

import contextlib
import hashlib
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.files.storage import Storage, storages

from training.models import ModelVersion, Run


class ArtifactError(Exception):
    """The files of a version are missing or were changed since its run stored them."""


def artifact_storage() -> Storage:
    return storages["artifacts"]


def folder_hash(folder: Path) -> str:
    """SHA-256 over the names and contents of a flat folder's files."""
    return hash_files({path.name: path.open for path in folder.iterdir()})


def hash_files(files: Mapping[str, Callable[[str], Any]]) -> str:
    """SHA-256 over the names and contents of files; each value opens its file in the given mode."""
    total = hashlib.sha256()
    for name in sorted(files):
        with files[name]("rb") as file:
            total.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def store(folder: Path, *, name: str, run: Run | None = None) -> tuple[str, str]:
    """Copy a flat folder of files into the storage, safe on its disk; returns its path there and its hash.

    If that fails, nothing stays. A process that is killed before the version's row is there leaves files
    behind: for a `run`, their place is noted first, and `collect_unpublished` finds them.
    """
    storage = artifact_storage()
    place = f"{name}-{uuid.uuid4().hex[:8]}"
    if run is not None:
        note_of(run).parent.mkdir(parents=True, exist_ok=True)
        note_of(run).write_text(place)
    try:
        for path in sorted(folder.iterdir()):
            with path.open("rb") as file:
                storage.save(f"{place}/{path.name}", File(file))
        sync(place)
    except BaseException:
        discard(place)
        raise
    return place, folder_hash(folder)


def sync(place: str) -> None:
    """Have the files at `place` written to the disk, if the storage is local: a power cut keeps them."""
    try:
        folder = Path(artifact_storage().path(place))
    except NotImplementedError:
        return  # an object store answers when it has them
    for path in (*folder.iterdir(), folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def note_of(run: Run) -> Path:
    """The file that says where the run stores its version; beside its folder, which may be removed before."""
    return run.folder.with_suffix(".artifact")


def collect_unpublished(run: Run) -> None:
    """Discard what an ended attempt of the run stored without a version, and forget where that was."""
    with contextlib.suppress(FileNotFoundError):
        place = note_of(run).read_text()
        if place and not ModelVersion.objects.filter(artifact=place).exists():
            discard(place)
        note_of(run).unlink()


def discard(place: str) -> None:
    """Delete what `store` saved at `place`; does nothing if it is already gone."""
    storage = artifact_storage()
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in storage.listdir(place)[1]:
            storage.delete(f"{place}/{name}")
        storage.delete(place)


def verify(version: ModelVersion) -> None:
    """Check the hash of the version's stored files. Raises ArtifactError if they are missing or changed."""
    storage = artifact_storage()
    names = file_names(version, storage)
    found = hash_files({name: partial(storage.open, f"{version.artifact}/{name}") for name in names})
    require_hash(version, found)


@contextlib.contextmanager
def local_folder(version: ModelVersion) -> Iterator[Path]:
    """The version's files as a local folder, hash checked. Raises ArtifactError if missing or changed."""
    storage = artifact_storage()
    names = file_names(version, storage)
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
        require_hash(version, folder_hash(folder))
        yield folder


def file_names(version: ModelVersion, storage: Storage) -> list[str]:
    """The names of the version's files; raises ArtifactError if there are none."""
    try:
        names = storage.listdir(version.artifact)[1]
    except FileNotFoundError:
        names = []
    if not names:
        raise ArtifactError(
            f"the files of {version.name} are missing from the artifact storage "
            f"({version.artifact}): restore them, or train the version again."
        )
    return names


def has_chat_template(version: ModelVersion) -> bool:
    """Whether the version reads conversations through a chat template."""
    return artifact_storage().exists(f"{version.artifact}/chat_template.jinja")


def require_hash(version: ModelVersion, found: str) -> None:
    """Raise ArtifactError if `found` is not the hash of the version."""
    if found != version.artifact_hash:
        raise ArtifactError(
            f"the files of {version.name} ({version.artifact}) were changed: their hash differs from the "
            "stored one. Restore them from a backup, or train the version again."
        )
