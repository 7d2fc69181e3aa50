"""The annotators and generators that a file names, as rows of the database."""

from labeling.imports.options import ImportOptions, ImportResult
from labeling.imports.people import imported_annotator
from labeling.models import Generator, Project


class ImportedNames:
    """Finds or makes what has a name, each once in an import."""

    def __init__(self, project: Project, options: ImportOptions, result: ImportResult) -> None:
        self.project, self.options, self.result = project, options, result
        self._annotators: dict[tuple[str, str], int] = {}
        self._generators: dict[str, int] = {}

    def annotator(self, source: str, name: str) -> int:
        """The key of the user who stands for an annotator of another tool."""
        if (source, name) not in self._annotators:
            self._annotators[source, name] = imported_annotator(source, name).pk
        return self._annotators[source, name]

    def generator(self, name: str) -> int:
        """The key of the project's generator; without a name, of that of the file. Counts its sample."""
        name = name.strip() or self.options.generator
        if name not in self._generators:
            made, _ = Generator.objects.get_or_create(project=self.project, name=name)
            self._generators[name] = made.pk
        self.result.generators[name] += 1
        return self._generators[name]
