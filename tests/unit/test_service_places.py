"""Places of records."""

import pytest

from lastlogin_service.places import Place, place_of


@pytest.mark.parametrize("text", ["", "17", "0:", ":1", "a:1", "0:-1", "0:1:2", "0 : 1", "²:1", "0:" + "9" * 19])
def test_place_that_is_none(text: str) -> None:
    """A place is two numbers; everything else is refused with what would be good."""
    with pytest.raises(ValueError, match=r"must be PARTITION:OFFSET as in the list, such as 0:17"):
        place_of(text)


def test_place() -> None:
    """A place is read as it is shown."""
    assert place_of("3:17") == Place(3, 17)
    assert str(Place(3, 17)) == "3:17"
