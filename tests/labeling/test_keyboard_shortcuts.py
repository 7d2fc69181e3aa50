import pytest
from django.core.exceptions import ValidationError

from labeling.models import WorkSettings
from labeling.workspace.keyboard_shortcuts import ACTIONS, key_labels, keys_for, validate_keys
from tests.labeling.objects import annotator


def refused(data: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        validate_keys(data)
    return caught.value


def test_every_action_has_a_key_of_its_own() -> None:
    keys = [action.key for action in ACTIONS.values()]
    assert len(set(keys)) == len(keys)
    assert validate_keys(dict(zip(ACTIONS, keys, strict=True))) == {}


def test_only_what_differs_from_the_usual_is_kept_in_small_letters() -> None:
    assert validate_keys({"tie": "T", "skip": "X", "flag": "", "undo": "ü"}) == {"skip": "x", "undo": "ü"}


def test_two_actions_may_swap_their_keys() -> None:
    assert validate_keys({"tie": "u", "undo": "t"}) == {"tie": "u", "undo": "t"}


@pytest.mark.parametrize("key", ["ab", "<script>", "ﬁx", "İ", 5, None, ["x"]])
def test_a_key_is_one_sign(key: object) -> None:
    assert refused({"tie": key}).message_dict == {"tie": ["Enter a single character."]}


@pytest.mark.parametrize("key", [" ", "\n", "\x00", "\u200b", "\u3000"])
def test_a_key_can_be_seen(key: str) -> None:
    assert "visible" in refused({"tie": key}).message_dict["tie"][0]


@pytest.mark.parametrize("key", ["1", "٣", "²"])
def test_digits_are_taken(key: str) -> None:
    assert "Digits" in refused({"tie": key}).message_dict["tie"][0]


def test_a_key_does_one_thing_and_the_complaint_stands_where_it_was_typed() -> None:
    assert list(refused({"tie": "u"}).message_dict) == ["tie"]
    assert list(refused({"undo": "t"}).message_dict) == ["undo"]
    assert "T is already used for “Tie" in refused({"undo": "t"}).message_dict["undo"][0]


@pytest.mark.parametrize("data", [[], "t", None, {"gold": "x"}])
def test_keys_are_given_by_action(data: object) -> None:
    refused(data)


def test_keys_are_printed_in_capitals() -> None:
    assert key_labels({"tie": "t", "skip": "ß", "help": "?"}) == {"tie": "T", "skip": "ß", "help": "?"}


@pytest.mark.django_db
def test_a_person_has_the_usual_keys_but_for_those_chosen() -> None:
    user = annotator()
    assert keys_for(user) == {name: action.key for name, action in ACTIONS.items()}
    WorkSettings.objects.create(annotator=user, keys={"tie": "x"})
    assert keys_for(user)["tie"] == "x"
    assert keys_for(user)["undo"] == "u"


@pytest.mark.django_db
@pytest.mark.parametrize("stored", [{"tie": "<b>"}, {"gold": "x"}, {"tie": "u"}, {"tie": 1}, [1], "t"])
def test_what_was_stored_wrongly_leaves_the_usual_keys(stored: object) -> None:
    user = annotator()
    WorkSettings.objects.create(annotator=user, keys=stored)
    assert keys_for(user)["tie"] == "t"
