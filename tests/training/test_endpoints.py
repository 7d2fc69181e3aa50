"""Endpoints: adding them by command and in the admin, what is refused, and which addresses are reached."""

import io
from ipaddress import ip_network

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from labeling.models import Generator, Membership, Project
from tests.labeling.objects import make_project as make_labeling_project
from tests.training.endpoint_server import MODEL, Answer, EndpointServer, add_endpoint, said
from tests.training.factories import make_policy, make_project
from training.endpoints.addresses import permitted_addresses
from training.endpoints.client import check
from training.endpoints.errors import EndpointError
from training.models import Endpoint, Run

pytestmark = pytest.mark.django_db(transaction=True)


def add(name: str = "parrot", **options: str) -> str:
    """What `manage.py add_endpoint` says."""
    terminal = io.StringIO()
    given = {"url": "https://api.example.com/v1", "model": MODEL} | options
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in given.items() if value != ""]
    call_command("add_endpoint", name, *[part.removesuffix("=flag") for part in arguments], stdout=terminal)
    return terminal.getvalue()


def refusal(name: str = "parrot", **options: str) -> str:
    with pytest.raises(CommandError) as found:
        add(name, **options)
    assert not Endpoint.objects.exists()
    assert "\n" not in str(found.value)
    return str(found.value)


# -- The command ------------------------------------------------------------------------------------------


def test_an_endpoint_that_answers_is_added_with_a_generator(server: EndpointServer) -> None:
    said = add(url=f"{server.url}/", requests_per_minute="60", extra_parameters='{"top_k": 20}')
    assert "parrot answers, and is added; `manage.py sample --project PROJECT --from parrot`" in said
    endpoint = Endpoint.objects.get()
    assert endpoint.url == server.url
    assert endpoint.requests_per_minute == 60
    assert (endpoint.concurrency, endpoint.timeout, endpoint.api) == (8, 120, "chat")
    assert endpoint.extra_parameters == {"top_k": 20}
    assert endpoint.generator == Generator.objects.get(name="parrot")
    (asked,) = server.requests
    assert asked.body["max_tokens"] == 1


def test_without_the_check_nothing_is_asked() -> None:
    assert "parrot is added" in add(no_check="flag")
    assert Endpoint.objects.get().url == "https://api.example.com/v1"


def test_an_unknown_model_is_answered_with_those_there_are(server: EndpointServer) -> None:
    server.models = [f"m{number}" for number in range(10)]
    found = refusal(url=server.url)
    assert (
        found == f"{server.url} has no model “parrot”; there are: m0, m1, m2, m3, m4, m5, m6, m7 and 2 more."
    )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (said(401, "No key."), "401 Unauthorized: No key; it wants a key: name its environment variable"),
        (Answer(body="<html>Welcome</html>"), "the server answered with a web page (HTML): check the URL"),
        (said(500, "Oops."), "500 Internal Server Error: Oops."),
        (Answer(body="{"), "the server answered with something that is not JSON"),
    ],
)
def test_what_is_wrong_with_a_server_is_said_in_one_line(
    server: EndpointServer, answer: Answer, message: str
) -> None:
    server.fault = lambda request, number: answer
    assert message in refusal(url=server.url)


def test_the_key_must_be_set(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARROT_API_KEY", raising=False)
    assert "PARROT_API_KEY is not set" in refusal(url=server.url, api_key_variable="PARROT_API_KEY")


@pytest.mark.parametrize(
    "key", ["sk-proj-abc123", "gsk_abcdefgh123", "hf_AbCdEfGh", "AKIAIOSFODNN7EXAMPLEKEY12", "3F2504E04F89"]
)
def test_a_key_instead_of_a_name_is_refused_and_not_repeated(key: str) -> None:
    found = refusal(api_key_variable=key, no_check="flag")
    assert found.startswith("--api-key-variable: this looks like a key")
    assert key not in found


def test_no_other_secret_of_the_machine_can_be_sent() -> None:
    assert "must contain API_KEY" in refusal(api_key_variable="SECRET_KEY", no_check="flag")
    assert "must contain API_KEY" in refusal(api_key_variable="DATABASE_URL", no_check="flag")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": ""}, "--url: give the base URL of the server, such as https://api.example.com/v1."),
        ({"model": ""}, "--model: give the name of the model on that server."),
        ({"url": "api.example.com"}, "--url: “api.example.com” is not a URL"),
        ({"url": "ftp://example.com/v1"}, "--url: “ftp://example.com/v1” is not a URL"),
        ({"url": "https://example.com:port/v1"}, "is not a URL"),
        ({"url": "https://user:password@example.com/v1"}, "--url: leave names and passwords out"),
        ({"url": "https://example.com/v1?key=1"}, "--url: leave out what follows ?"),
        ({"url": "https://example.com/v1/chat/completions"}, "--url: give the base URL, without"),
        ({"extra_parameters": "[1]"}, "--extra-parameters: extra parameters are an object"),
        ({"extra_parameters": '{"messages": []}'}, "--extra-parameters: leave out messages"),
        ({"extra_parameters": "top_k=20"}, "--extra-parameters: Enter a valid JSON."),
        ({"concurrency": "0"}, "--concurrency: Ensure this value is greater than or equal to 1."),
        ({"api": "telepathy"}, "--api: Select a valid choice."),
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, str], message: str) -> None:
    assert message in refusal(**{"no_check": "flag"} | options)
    assert not Generator.objects.exists()


def test_a_name_belongs_to_one_author_only() -> None:
    make_policy("base")
    Generator.objects.create(name="import")
    for name in ("base", "import"):
        assert f"NAME: “{name}” is taken" in refusal(name, no_check="flag")
    assert "NAME: Start the name with a letter or digit" in refusal("../x", no_check="flag")
    add("taken", no_check="flag")
    make_project()
    with pytest.raises(CommandError, match="“taken” is taken"):
        call_command("pretrain", "--source", "stories", "--name", "taken", "--minutes", "0.01")


# -- Addresses --------------------------------------------------------------------------------------------

INSIDE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1",
    "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_the_machines_own_network_are_refused(address: str) -> None:
    for scheme in ("https", "http"):
        with pytest.raises(EndpointError, match="is inside this machine's own network"):
            permitted_addresses("example.com", scheme, [address])


def test_a_setting_allows_networks_by_name(settings: Settings) -> None:
    settings.ENDPOINT_TRUSTED_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("fd00::/8")]
    assert permitted_addresses("localhost", "http", ["127.0.0.1", "::1"]) == ["127.0.0.1"]
    assert permitted_addresses("mapped", "http", ["::ffff:127.0.0.1"])
    assert permitted_addresses("inside", "http", ["fd00::1"]) == ["fd00::1"]
    with pytest.raises(EndpointError, match=r"metadata \(169\.254\.169\.254\) is inside"):
        permitted_addresses("metadata", "http", ["169.254.169.254"])


def test_public_addresses_need_encryption(settings: Settings) -> None:
    assert permitted_addresses("dns", "https", ["8.8.8.8", "10.0.0.1"]) == ["8.8.8.8"]
    with pytest.raises(EndpointError, match=r"dns \(8\.8\.8\.8\) is reached without encryption: use https"):
        permitted_addresses("dns", "http", ["8.8.8.8"])
    settings.ENDPOINT_TRUSTED_NETWORKS = [ip_network("8.8.8.8/32")]
    assert permitted_addresses("dns", "http", ["8.8.8.8"]) == ["8.8.8.8"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f000001", "2130706433", "127.1"]
)
def test_a_request_to_this_machine_is_never_sent(
    server: EndpointServer, settings: Settings, host: str
) -> None:
    settings.ENDPOINT_TRUSTED_NETWORKS = []
    url = f"http://{host}:{server.server_port}/v1"
    endpoint = Endpoint(name="inside", url=url, model=MODEL, timeout=5)
    with pytest.raises(EndpointError):
        check(endpoint)
    assert server.requests == []


def test_a_redirect_is_not_followed(server: EndpointServer) -> None:
    elsewhere = Answer(body="", status=307, headers={"Location": f"{server.url}/chat/completions"})
    server.fault = lambda request, number: elsewhere if number == 0 else None
    with pytest.raises(EndpointError, match="it redirects to"):
        check(Endpoint(name="parrot", url=server.url, model=MODEL))
    assert len(server.requests) == 1


def test_the_host_is_sent_by_the_name_it_was_given(server: EndpointServer) -> None:
    check(Endpoint(name="parrot", url=f"http://localhost:{server.server_port}/v1", model=MODEL))
    assert server.requests[0].headers["host"] == f"localhost:{server.server_port}"


# -- The admin --------------------------------------------------------------------------------------------


def form_data(server: EndpointServer, **changes: str) -> dict[str, str]:
    return {
        "name": "parrot", "url": server.url, "model": MODEL, "api": "chat", "concurrency": "4",
        "extra_parameters": "{}", "check": "on",
    } | changes  # fmt: skip


def test_the_admin_adds_and_changes_with_the_same_form(as_admin: Client, server: EndpointServer) -> None:
    page = as_admin.get("/admin/training/endpoint/add/").text
    for label in ("API key variable", "Requests per minute", "Check that it answers"):
        assert label in page
    wrong = as_admin.post("/admin/training/endpoint/add/", form_data(server, model="other"))
    assert "has no model “other”; there are: parrot." in wrong.text
    assert not Endpoint.objects.exists()
    assert not Generator.objects.exists()
    added = as_admin.post("/admin/training/endpoint/add/", form_data(server))
    assert added.headers["Location"] == "/admin/training/endpoint/"
    endpoint = Endpoint.objects.get()
    assert (endpoint.concurrency, endpoint.timeout) == (4, 120)
    address = f"/admin/training/endpoint/{endpoint.pk}/change/"
    as_admin.post(address, form_data(server, name="renamed", model="other", concurrency="2"))
    endpoint.refresh_from_db()
    assert (endpoint.name, endpoint.model, endpoint.concurrency) == ("parrot", MODEL, 2)
    assert endpoint.generator.name == "parrot"
    assert "parrot" in as_admin.get("/admin/training/endpoint/").text


def test_only_admins_of_the_whole_site_set_addresses(client: Client, server: EndpointServer) -> None:
    endpoint = add_endpoint(server)
    project = make_labeling_project("closed", everybody=False)
    boss = User.objects.create_user("boss")
    Membership.objects.create(person=boss, project=project, role=Membership.Role.ADMIN)
    reviewer = User.objects.create_user("reviewer", is_staff=True)
    reviewer.groups.add(Group.objects.get(name="reviewers"))
    address = f"/admin/training/endpoint/{endpoint.pk}/change/"
    for person in (boss, reviewer):
        client.force_login(person)
        assert client.post("/admin/training/endpoint/add/", form_data(server, name="x")).status_code == 403
        assert client.post(address, form_data(server, url="https://evil.example/v1")).status_code in {
            302,
            403,
        }
    endpoint.refresh_from_db()
    assert endpoint.url == server.url
    assert Endpoint.objects.count() == 1


# -- Who may use them -------------------------------------------------------------------------------------


def test_the_page_of_a_project_offers_endpoints(as_admin: Client, server: EndpointServer) -> None:
    make_project()
    assert "no policy yet" in as_admin.get("/projects/letters/samples/").text
    endpoint = add_endpoint(server)
    page = as_admin.get("/projects/letters/samples/").text
    assert 'name="from"' in page
    make_policy()
    answer = as_admin.post("/projects/letters/samples/", {"policy": "base", "from": "parrot", "tasks": 2})
    assert answer.status_code == 302
    run = Run.objects.get()
    assert run.endpoint == endpoint
    assert run.policy is None
    assert "<dt>Endpoint</dt><dd>parrot</dd>" in as_admin.get(run.get_absolute_url()).text
    assert "parrot" in as_admin.get("/runs/").text


def test_the_form_that_starts_a_run_offers_endpoints(as_admin: Client, server: EndpointServer) -> None:
    make_project()
    make_policy()
    endpoint = add_endpoint(server, model="large-1")
    for kind in ("sample", "evaluate"):
        page = as_admin.get(f"/admin/training/run/add/?kind={kind}&project=letters").text
        assert "Or an endpoint" in page
        assert '<option value="parrot">parrot (large-1)</option>' in page
    data = {"kind": "evaluate", "project": "letters", "policy": "base", "from": "parrot", "against": "base",
            "judge": "people", "tasks": "3"}  # fmt: skip
    answer = as_admin.post("/admin/training/run/add/?kind=evaluate", data)
    run = Run.objects.get()
    assert answer.headers["Location"] == run.get_absolute_url()
    assert (run.endpoint, run.policy, run.parameters["against"]) == (endpoint, None, "base")
    clone = as_admin.get(f"/admin/training/run/add/?clone={run.pk}").text
    assert '<option value="parrot" selected>' in clone


def test_the_api_starts_a_run_with_an_endpoint(as_admin: Client, server: EndpointServer) -> None:
    make_project()
    add_endpoint(server)
    parameters = {"project": "letters", "from": "parrot", "tasks": 1}
    answer = as_admin.post(
        "/api/runs/", {"kind": "sample", "parameters": parameters}, content_type="application/json"
    )
    assert answer.status_code == 201
    assert answer.json()["endpoint"] == "parrot"
    assert answer.json()["policy"] is None


def test_admins_of_a_single_project_do_not_use_endpoints(client: Client, server: EndpointServer) -> None:
    project = make_project()
    Project.objects.update(everybody=False)
    add_endpoint(server)
    boss = User.objects.create_user("boss")
    Membership.objects.create(person=boss, project=project, role=Membership.Role.ADMIN)
    client.force_login(boss)
    assert 'name="from"' not in client.get("/projects/letters/samples/").text
    answer = client.post("/projects/letters/samples/", {"from": "parrot", "tasks": 2})
    assert answer.status_code == 422
    assert not Run.objects.exists()
