"""Imports: prompts and samples from a paste or a file, looked at before anything is stored.

`encodings` makes text of bytes, `rows` rows of text, `entries` prompts and samples of rows, `plan` what all
of it comes to in a project. No name or path from an upload is ever opened.
"""

from labeling.setup.imports.encodings import ENCODINGS, EncodingUnknown, ImportProblem, decode
from labeling.setup.imports.plan import Plan, make_plan
from labeling.setup.imports.rows import read_rows

LARGEST = 20 * 1024 * 1024
"""Bytes of a file."""

__all__ = [
    "ENCODINGS",
    "LARGEST",
    "EncodingUnknown",
    "ImportProblem",
    "Plan",
    "decode",
    "make_plan",
    "read_rows",
]
