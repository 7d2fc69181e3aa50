"""Imports of prompts and samples from pasted text or a file, with a preview before anything is stored.

`encodings` decodes bytes, `row_reader` reads rows, `row_parser` parses them to prompts and samples, and
`plan` works out what they change in a project. No file name or path from an upload is ever opened.
"""

from labeling.setup.imports.encodings import ENCODINGS, EncodingUnknown, ImportProblem, decode
from labeling.setup.imports.plan import ImportPlan, plan_import
from labeling.setup.imports.row_reader import read_rows

MAX_FILE_BYTES = 20 * 1024 * 1024
"""The largest file that can be imported."""

__all__ = [
    "ENCODINGS",
    "MAX_FILE_BYTES",
    "EncodingUnknown",
    "ImportPlan",
    "ImportProblem",
    "decode",
    "plan_import",
    "read_rows",
]
