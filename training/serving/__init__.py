"""The OpenAI-compatible server of this site's versions, a process of its own: `manage.py serve`."""
