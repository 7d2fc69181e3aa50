"""Formats of data, in plain Python: the one part of `training` that `labeling` may import.

`reader` is the one way in: `containers` gives the rows of files, and a module for each format makes `records`
of them. `writer` is the one way out. `messages` parses and renders conversations; `prompt_completions` reads
a prompt with its completions, whether they are texts or conversations.
"""
