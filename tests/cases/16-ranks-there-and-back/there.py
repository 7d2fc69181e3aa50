"""Rankings out as comparisons and in again: there.py EXPORT; `try.sh` runs it with the shared `ready`."""

import json
import sys
from pathlib import Path
from typing import Any

import ready  # type: ignore[import-not-found]
from django.core.management import call_command
from rest_framework.authtoken.models import Token

from labeling.models import Generator, Sample, Task
from labeling.prompts import add_prompts
from labeling.tasks import create_tasks

WORTH = (3, 1, 2, 2)


def worth(text: str) -> int:
    return int(text.split()[1])


def answer_all(name: str) -> None:
    """Rank the samples of every task by their worth."""
    token, _ = Token.objects.get_or_create(user=ready.person(name, "annotators"))
    headers: dict[str, Any] = {"HTTP_AUTHORIZATION": f"Token {token.key}"}
    browser = ready.client()
    while (claimed := browser.post("/api/projects/ranks/claim/", **headers)).status_code == 200:
        task = claimed.json()
        best = sorted({worth(sample) for sample in task["samples"]}, reverse=True)
        answer = {"client_key": "k", "ranks": [best.index(worth(each)) + 1 for each in task["samples"]]}
        address = f"/api/assignments/{task['id']}/submit/"
        done = browser.post(address, json.dumps(answer), content_type="application/json", **headers)
        assert done.status_code == 200, done.content


def is_wrong(row: dict[str, Any]) -> bool:
    chosen, rejected = worth(row["chosen"]), worth(row["rejected"])
    return chosen != rejected if row["tie"] else chosen <= rejected


there = ready.project("ranks", feedback="rank", samples_per_task=4, annotations_per_task=2)
writer, _ = Generator.objects.get_or_create(name="w")
prompts = add_prompts(there, [f"Prompt {number}" for number in range(12)])
completions = {
    prompt: [f" worth {each} in {number}, {place}" for place, each in enumerate(WORTH)]
    for number, prompt in enumerate(prompts)
}
create_tasks(project=there, generator=writer, completions=completions)
for person in ("ann", "ben"):
    answer_all(person)

admin = ready.client(ready.person("ada", "admins", is_staff=True))
body = b"".join(admin.get("/api/projects/ranks/comparisons/").streaming_content)
rows = [json.loads(line) for line in body.splitlines()]
ready.check("six pairs of each of 24 answers", len(rows) == 144, str(len(rows)))
wrong = [row for row in rows if is_wrong(row)]
ready.check("the better one is chosen, equals are ties", not wrong, str(wrong[:1]))

Path(sys.argv[1]).write_bytes(body)
back = ready.project("back", feedback="rank", samples_per_task=4)
call_command("import", "back", sys.argv[1])
samples = list(Sample.objects.filter(prompt__project=back).values_list("prompt__text", "text"))
tasks = Task.objects.filter(project=back).count()
ready.check("imported again: each sample once", len(samples) == len(set(samples)) == 48)
call_command("import", "back", sys.argv[1])
ready.check("a file twice adds nothing", Task.objects.filter(project=back).count() == tasks)
