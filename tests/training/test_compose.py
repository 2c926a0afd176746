"""Training images of the discriminator: real ones as they are, synthetic ones by number alone, labelled rightly."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from blemish.config import TeachConfig
from blemish.data.priors import CategoryPrior
from blemish.errors import SynthesisError
from blemish.kept.examples import KeptExamples
from blemish.kept.images import KeptImages
from blemish.training.teaching import compose
from blemish.training.teaching.compose import NO_ROW, Composer, priors_of

SIZE = 48
CATEGORIES = ("cut", "dent", "stain")


def normals(count: int = 4) -> KeptImages:
    pixels = np.random.default_rng(0).integers(60, 90, (count, SIZE, SIZE, 3)).astype(np.uint8)
    return KeptImages(pixels, tuple(2 * row for row in range(count)), tuple(range(10)), pixels[:0], ())


def examples(count: int = 2) -> KeptExamples:
    """White cuts, and in the second image a black dent too."""
    images = np.random.default_rng(1).integers(60, 90, (count, SIZE, SIZE, 3)).astype(np.uint8)
    labels = np.full((count, SIZE, SIZE), -1, np.int16)
    labels[:, 10:16, 8:30] = 0
    labels[1:, 30:40, 30:40] = 1
    images[labels == 0], images[labels == 1] = 255, 0
    return KeptExamples(images, labels, tuple(f"{number}.png" for number in range(count)), (False,) * count)


def composer(*, shown: int = 2, count: int = 4, names: tuple[str, ...] = CATEGORIES, **changes: Any) -> Composer:
    config = TeachConfig.of("fast", **{"images": 6, "seed": 5, **changes})
    return Composer("nut", priors_of(names, {}), normals(count), examples(shown), config)


def test_real_images_come_first_and_unchanged() -> None:
    made = composer()
    assert made.real == 2 + 4
    assert len(made) == 6 + 3 * 6
    for number in range(2):
        np.testing.assert_array_equal(made[number].image, examples().images[number])
        np.testing.assert_array_equal(made[number].labels, examples().labels[number])
        assert made[number].row == NO_ROW
    for number in range(4):
        np.testing.assert_array_equal(made[2 + number].image, normals().train[number])
        assert (made[2 + number].labels == -1).all()
        assert made[2 + number].row == 2 * number


def test_normal_images_are_no_more_than_synthetic_ones() -> None:
    assert composer(count=4, images=2).real == 2 + 2


@pytest.mark.parametrize("number", [-1, 24])
def test_numbers_beyond_the_last(number: int) -> None:
    with pytest.raises(IndexError):
        composer()[number]


@pytest.mark.parametrize("changes", [{}, {"alter": False, "foreground": "none", "normal_share": 0}, {"painted": 1.0}])
def test_an_image_depends_on_its_number_alone(changes: dict[str, Any]) -> None:
    forwards, backwards = composer(**changes), composer(**changes)
    numbers = range(forwards.real, len(forwards))
    first = [forwards[number] for number in numbers]
    second = [backwards[number] for number in reversed(numbers)][::-1]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.row == other.row
        assert one.image.shape == (SIZE, SIZE, 3)
        assert set(np.unique(one.labels)) <= {-1, 0, 1, 2}
    assert len({one.image.tobytes() for one in first}) == len(first)
    assert not np.array_equal(first[0].image, composer(**{**changes, "seed": 6})[forwards.real].image)


def test_every_category_comes_as_often() -> None:
    made = composer(normal_share=0, defective_bases=0, alter=False, images=8)
    shown = [set(np.unique(made[number].labels)) - {-1} for number in range(made.real, len(made))]
    assert all(shown)
    counts = [sum(category in one for one in shown) for category in range(3)]
    assert min(counts) >= 8
    assert max(counts) <= 16


def test_without_synthetic_defects_nothing_is_labelled() -> None:
    made = composer(normal_share=1, defective_bases=0)
    assert all((made[number].labels == -1).all() for number in range(made.real, len(made)))


def test_defects_of_the_image_that_it_starts_from_stay_labelled() -> None:
    made = composer(normal_share=1, defective_bases=1, alter=False)
    for number in range(made.real, len(made)):
        assert (made[number].labels == 0).any()
        assert (made[number].image[made[number].labels == 0] == 255).all()
        assert made[number].row == NO_ROW


def test_transplants_are_of_their_own_category() -> None:
    made = composer(
        normal_share=0, defective_bases=0, alter=False, blending=("paste",), painted=0, names=CATEGORIES[:2]
    )
    for number in range(made.real, len(made)):
        one = made[number]
        for category, beyond in ((0, 180), (1, 50)):
            pixels = one.image[one.labels == category].astype(int)
            if len(pixels):
                assert np.median(pixels) > beyond if category == 0 else np.median(pixels) < beyond


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The appearances of all that is painted."""
    found: list[str] = []
    paint = compose.paint

    def noted(image: Any, mask: Any, appearance: str, *rest: Any, **options: Any) -> Any:
        found.append(appearance)
        return paint(image, mask, appearance, *rest, **options)

    monkeypatch.setattr(compose, "paint", noted)
    return found


def test_what_has_no_example_is_painted(painted: list[str]) -> None:
    made = composer(shown=0, normal_share=0, painted=0)
    for number in range(made.real, len(made)):
        made[number]
    assert len(painted) >= 18


@pytest.mark.parametrize(
    ("prior", "share", "appearances"),
    [
        (CategoryPrior("cut"), 0.5, {"dark-stroke"}),
        (CategoryPrior("cut"), 0, set()),
        (CategoryPrior("type 7"), 0.5, set()),
        (CategoryPrior("type 7", prompts=("a nut with a scratch",)), 0.5, {"bright-stroke"}),
        (CategoryPrior("type 7", appearance="stain"), 0.5, {"stain"}),
        (CategoryPrior("cut", position_bound=True), 0.5, set()),
    ],
)
def test_what_has_examples_is_painted_too_where_it_is_known_how(
    painted: list[str], prior: CategoryPrior, share: float, appearances: set[str]
) -> None:
    config = TeachConfig.of("fast", images=20, normal_share=0, painted=share)
    made = Composer("nut", [prior], normals(), examples(), config)
    for number in range(made.real, len(made)):
        made[number]
    assert set(painted) == appearances
    assert len(painted) < 20


def test_a_defect_that_cannot_be_made_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise SynthesisError("There is no room.", "Make some.")

    monkeypatch.setattr(compose, "transplant", fails)
    made = composer(names=("cut", "dent"), normal_share=0, defective_bases=0)
    with caplog.at_level(logging.WARNING):
        one = made[made.real]
    assert (one.labels == -1).all()
    assert "'cut' of 'nut': There is no room." in caplog.text


def test_what_is_known_of_each_category() -> None:
    described = CategoryPrior("dent", appearance="hole")
    assert priors_of(("cut", "dent"), {"dent": described, "other": described}) == [CategoryPrior("cut"), described]
