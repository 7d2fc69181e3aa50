"""Executing runs: one module per kind of run. The only package that imports both Django and torch."""
