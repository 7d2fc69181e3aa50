"""Executing runs: one module per kind. The only package that imports both Django and torch."""
