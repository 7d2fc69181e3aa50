"""Formats of data, in plain Python: the one part of `training` that `labeling` may import.

`messages` parses and renders conversations; `prompt_completions` reads a prompt with its completions, whether
they are texts or conversations.
"""
