import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from labeling.models import Assignment, DataImport, Prompt
from tests.labeling.objects import admin, annotator, make_project

pytestmark = pytest.mark.django_db

ADDRESS = "/api/projects/stories/imports/"
ROWS = [{"prompt": f"Q{n}", "chosen": "a", "rejected": "b", "annotator": "7"} for n in range(3)]


@pytest.fixture
def api() -> APIClient:
    make_project(feedback="pair", samples_per_task=2)
    client = APIClient()
    client.force_authenticate(admin())
    return client


def send(api: APIClient, **given: Any) -> Any:
    return api.post(ADDRESS, given, format="json")


def test_rows_are_imported_and_counted(api: APIClient) -> None:
    response = send(api, rows=ROWS)
    assert response.status_code == 201
    assert response.data["state"] == "done"
    result = response.data["result"]
    assert (result["prompts"], result["answers"], result["annotators"]) == (3, 3, 1)
    assert Assignment.objects.submitted().count() == 3
    again = send(api, rows=ROWS).data["result"]
    assert (again["answers"], again["known"]) == (0, 3)


def test_a_file_is_sent_as_a_form(api: APIClient) -> None:
    file = SimpleUploadedFile("a.csv", b"q,x,y\nOnce,a,b\n")
    given = {"file": file, "columns": "prompt=q,chosen=x,rejected=y", "import_as": "tasks"}
    response = api.post(ADDRESS, given, format="multipart")
    assert (response.status_code, response.data["result"]["tasks"]) == (201, 1)


def test_a_dry_run_stores_nothing(api: APIClient) -> None:
    response = send(api, rows=ROWS, dry_run=True)
    assert response.status_code == 200
    assert (response.data["result"]["answers"], response.data["result"]["stored"]) == (3, False)
    assert not Prompt.objects.exists()


def test_a_retry_with_the_same_key_is_the_same_import(api: APIClient) -> None:
    first = api.post(ADDRESS, {"rows": ROWS}, format="json", headers={"Idempotency-Key": "k1"})
    again = send(api, rows=ROWS, idempotency_key="k1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.data["id"] == again.data["id"]
    assert DataImport.objects.count() == 1


def test_problems_come_with_their_rows_and_nothing_is_stored(api: APIClient) -> None:
    response = send(api, rows=[*ROWS, {"prompt": "Q9", "chosen": "a"}], idempotency_key="k")
    assert response.status_code == 400
    [problem] = response.data["result"]["problems"]
    assert problem["row"] == 4
    assert not Prompt.objects.exists()
    assert send(api, rows=ROWS, idempotency_key="k").status_code == 201
    assert send(api, rows=[{"what": "ever"}]).data["state"] == "failed"


def test_a_large_import_is_queued_and_can_be_cancelled(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeling.imports.uploads.PREVIEWED_ROWS", 2)
    response = send(api, rows=ROWS)
    assert (response.status_code, response.data["state"]) == (202, "queued")
    assert api.get(response.data["url"]).data["state"] == "queued"
    assert api.post(f"{response.data['url']}cancel/").data["state"] == "cancelled"
    assert not Prompt.objects.exists()


@pytest.mark.parametrize(
    "given",
    [{}, {"rows": []}, {"rows": ROWS, "format": "nonsense"}, {"rows": ROWS, "columns": [1]},
     {"rows": ROWS, "heldout": 2}],
)  # fmt: skip
def test_requests_that_are_not_valid_are_refused(api: APIClient, given: dict[str, Any]) -> None:
    assert send(api, **given).status_code == 400
    assert not DataImport.objects.exists()


def test_annotators_import_nothing(api: APIClient) -> None:
    api.force_authenticate(annotator())
    assert send(api, rows=ROWS).status_code == 403


def test_the_result_is_json_throughout(api: APIClient) -> None:
    assert json.loads(send(api, rows=ROWS).content)["result"]["problems"] == []
