"""Telling people that a run has ended: on the page, by e-mail, by webhook. Free of torch."""
