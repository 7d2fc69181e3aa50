"""Imports: the records of a file become prompts, samples, tasks, answers and gold in a project.

`planning` says what a record becomes, `verdicts` turns judgements made elsewhere into answers, `store` writes
them in batches, and `import_records` does all of it, or nothing. Files are read by `training.formats.reader`.
"""

from labeling.imports.engine import ImportBusy, import_records
from labeling.imports.options import (
    DEFAULT_GENERATOR,
    DEFAULT_HELDOUT,
    IMPORT_AS,
    MAX_PROBLEMS,
    ImportAs,
    ImportOptions,
    ImportResult,
    Source,
)

__all__ = [
    "DEFAULT_GENERATOR",
    "DEFAULT_HELDOUT",
    "IMPORT_AS",
    "MAX_PROBLEMS",
    "ImportAs",
    "ImportBusy",
    "ImportOptions",
    "ImportResult",
    "Source",
    "import_records",
]
