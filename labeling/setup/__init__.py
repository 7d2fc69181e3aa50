"""Setting a project up: what is missing, what files bring, and texts to show the page with."""
