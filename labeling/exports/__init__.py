"""Exports: a project's answers as files for training and for other tools, streamed from the database.

`formats` says which there are, `options` what may be chosen, `export` makes the rows, and `folder` a data set
that `datasets.load_dataset` reads.
"""
