"""The guidelines page, and the changes between two versions."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from labeling.models import Project
from labeling.text_diff import DiffHunk, diff_texts
from tests.labeling.objects import admin, annotator, make_project

FIRST = "# Endings\n\nPrefer the kind ending.\n\nLength does not matter."
SECOND = "# Endings\n\nPrefer the kinder ending.\n\nLength does not matter.\n\nSkip what you cannot read."


@pytest.fixture
def project(db: None) -> Project:
    project = make_project()
    project.revise_guidelines(FIRST)
    project.revise_guidelines(SECOND)
    return project


@pytest.fixture
def ann(client: Client, db: None) -> Client:
    client.force_login(annotator())
    return client


def words(html: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", html).split())


def test_annotators_read_the_version_in_force(ann: Client, project: Project) -> None:
    page = ann.get("/projects/stories/guidelines/").text
    assert "<h1>Endings</h1>" in page or "Endings</h" in page
    assert "Version 2" in page
    assert "Skip what you cannot read." in page


def test_an_earlier_version_says_that_it_is_no_longer_in_force(ann: Client, project: Project) -> None:
    page = words(ann.get("/projects/stories/guidelines/?version=1").text)
    assert "An earlier version" in page
    assert "Skip what you cannot read." not in page


def test_what_changed_between_two_versions_is_marked(ann: Client, project: Project) -> None:
    page = ann.get("/projects/stories/guidelines/?version=2&since=1").text
    assert re.search(r"<del>.*kind<", page)
    assert re.search(r"<ins>.*kinder<", page)
    assert "What changed from version 1 to version 2" in words(page)


@pytest.mark.parametrize("query", ["version=3", "version=0", "version=x", "since=9"])
def test_a_version_that_is_not_there_is_not_there(ann: Client, project: Project, query: str) -> None:
    assert ann.get(f"/projects/stories/guidelines/?{query}").status_code == 404


def test_without_guidelines_the_page_says_what_to_go_by(ann: Client) -> None:
    make_project()
    page = ann.get("/projects/stories/guidelines/")
    assert page.status_code == 200
    assert "No guidelines yet" in page.text


def test_markup_in_guidelines_is_shown_and_not_run(ann: Client, project: Project) -> None:
    project.revise_guidelines("<script>alert(1)</script> [x](javascript:alert(2)) ![p](http://e.vil/p.png)")
    for query in ("", "?version=3&since=2"):
        page = ann.get(f"/projects/stories/guidelines/{query}").text
        for bad in ("<script>alert", 'href="javascript', "<img"):
            assert bad not in page


def test_only_the_projects_people_read_them(client: Client, project: Project) -> None:
    Project.objects.update(everybody=False)
    member, stranger = annotator("member"), annotator("stranger")
    project.members.add(member)
    root = User.objects.create_superuser("root")
    for user, status in ((member, 200), (stranger, 404), (admin(), 404), (root, 200)):
        client.force_login(user)
        assert client.get("/projects/stories/guidelines/").status_code == status


def test_strangers_are_sent_to_sign_in(client: Client, project: Project) -> None:
    response = client.get("/projects/stories/guidelines/")
    assert response.headers["Location"] == "/accounts/login/?next=/projects/stories/guidelines/"


# -- Differences -------------------------------------------------------------------------------------------


def marked(hunks: list[DiffHunk]) -> list[str]:
    """[-gone-] and {+new+}; "~3" for three lines left out."""
    marks = {"equal": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
    return [
        ("~" + str(hunk.skipped) + " ") * bool(hunk.skipped)
        + "".join(marks[span.kind].format(span.text) for span in hunk.spans)
        for hunk in hunks
    ]


def test_equal_texts_have_no_differences() -> None:
    assert diff_texts(FIRST, FIRST) == []
    assert diff_texts("", "") == []


def test_lines_are_compared_word_by_word() -> None:
    assert marked(diff_texts("It is short.\nEnd", "It is rather short.\nEnd")) == [
        "It is {+rather +}short.",
        "End",
    ]


def test_words_that_changed_side_by_side_are_one_change() -> None:
    assert marked(diff_texts("prefer the kind short ending", "prefer the long sad ending")) == [
        "prefer the [-kind short-]{+long sad+} ending"
    ]


def test_lines_far_from_a_change_are_left_out() -> None:
    before = "\n".join(f"line {number}" for number in range(20))
    assert marked(diff_texts(before, before.replace("line 10", "other words entirely")))[0] == (
        "~8 line 8\nline 9"
    )


def test_a_single_line_between_changes_is_not_left_out() -> None:
    before = "\n".join(f"line {number}" for number in range(7))
    after = before.replace("line 0", "other words").replace("line 6", "more words")
    assert [hunk.skipped for hunk in diff_texts(before, after)] == [0] * 5
    assert marked(diff_texts(before, after))[2] == "line 3"


def test_a_line_among_new_ones_is_recognised() -> None:
    hunks = diff_texts("keep it short and kind\ngone line", "brand new\nkeep it short and very kind")
    assert marked(hunks) == ["{+brand new+}\nkeep it short and {+very +}kind\n[-gone line-]"]


def test_chinese_is_compared_character_by_character() -> None:
    assert marked(diff_texts("看哪个故事更好。", "看哪一个故事更好。")) == ["看哪{+一+}个故事更好。"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (FIRST, SECOND),
        ("", SECOND),
        (FIRST, ""),
        ("a b\nc\nd e f", "c\na b x\nd g f\nh"),
        ("مرحبا بك", "مرحبا"),
    ],
)
def test_both_texts_can_be_read_off_the_differences(before: str, after: str) -> None:
    spans = [hunk.spans for hunk in diff_texts(before + "\n!", after + "\n!")]
    for kind, text in (("added", before), ("removed", after)):
        seen = "\n".join("".join(span.text for span in each if span.kind != kind) for each in spans)
        lines = [line for line in seen.splitlines() if line]
        assert [line for line in text.splitlines() if line] == [line for line in lines if line != "!"]
