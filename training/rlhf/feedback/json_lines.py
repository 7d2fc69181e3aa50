"""JSON Lines files, gzipped or not; errors name the line. Torch-free."""

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from training.gpt.errors import InputError

Row = TypeVar("Row")


def read_json_lines(path: str | Path, parse: Callable[[Any], Row], *, what: str, example: str) -> list[Row]:
    """`parse` of the object on each line; blank lines are skipped.

    `parse` raises ValueError for an invalid object. Raises InputError that names the file and the line; its
    message uses `what` a line holds and an `example` of one.
    """
    path = Path(path).expanduser()
    try:
        content = path.read_bytes()
        lines = (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: is damaged ({error}); copy or download it again.") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; give a readable JSON Lines file.") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(parse(json.loads(line)))
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}, line {number}: not UTF-8 (byte {error.start}); save it as UTF-8."
            ) from error
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path}, line {number}: not JSON ({error.msg}, column {error.colno}); "
                f"write {example} on one line."
            ) from error
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
    if not rows:
        raise InputError(f"{path}: no {what} in it; write one {example} a line.")
    return rows
