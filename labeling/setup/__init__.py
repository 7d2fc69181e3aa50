"""Project setup: the readiness checklist, imports, and samples for the preview."""
