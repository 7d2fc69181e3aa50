"""Formats of data, in plain Python: the one part of `training` that `labeling` may import.

`messages` parses and renders conversations.
"""
