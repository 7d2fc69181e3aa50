"""The status of each project's loop, and the recommended next step."""
