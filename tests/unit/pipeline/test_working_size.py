import pytest
from hypothesis import given
from hypothesis import strategies as st

from colormnet.errors import InputError
from colormnet.working_size import WorkingSize, working_size

SIDES = st.integers(16, 9000)


@pytest.mark.parametrize(
    ("height", "width", "short", "expected"),
    [
        (1080, 1920, 480, WorkingSize(480, 853)),
        (2160, 4096, 448, WorkingSize(448, 850)),
        (1920, 1080, 480, WorkingSize(853, 480)),
        (360, 640, 480, WorkingSize(360, 640)),  # never enlarged
        (480, 480, 256, WorkingSize(256, 256)),
    ],
)
def test_known_sizes(height, width, short, expected):
    assert working_size(height, width, short) == expected


def test_anamorphic_plates_are_worked_on_in_square_pixels():
    assert working_size(1556, 1828, 480, pixel_aspect=2.0) == WorkingSize(480, 1128)


@given(SIDES, SIDES, st.integers(16, 2000))
def test_shape_is_kept_and_never_enlarged(height, width, short):
    size = working_size(height, width, short)
    assert size.height <= height
    assert size.width <= width
    scale = min(1.0, short / min(height, width))
    assert abs(size.height - height * scale) <= 0.5
    assert abs(size.width - width * scale) <= 0.5


@pytest.mark.parametrize(
    ("height", "width", "short", "aspect"), [(8, 640, 64, 1.0), (64, 64, 8, 1.0), (64, 64, 64, 0.0)]
)
def test_what_cannot_be_worked_on_is_refused(height, width, short, aspect):
    with pytest.raises(InputError):
        working_size(height, width, short, aspect)
