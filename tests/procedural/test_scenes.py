"""Scenes and their parts: repeatable, in range, varied."""

from __future__ import annotations

import numpy as np
import pytest

from blemish.procedural.leaves import dead_leaves
from blemish.procedural.noise import fractal_noise, normalise, smooth, spectral_noise, value_noise
from blemish.procedural.palette import palette
from blemish.procedural.scenes import _PAINTERS, Painter, scene
from blemish.procedural.seeding import generator
from blemish.procedural.textures import PATTERNS, Pattern, texture

pytestmark = pytest.mark.core


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.__name__)
def test_patterns_are_repeatable_fields_with_contrast(pattern: Pattern) -> None:
    for index in range(6):
        field = pattern(48, generator(0, "test", index))
        assert field.shape == (48, 48)
        assert field.dtype == np.float32
        assert field.min() >= -0.01
        assert field.max() <= 1.01
        assert np.ptp(field) > 0.1
        np.testing.assert_array_equal(field, pattern(48, generator(0, "test", index)))


@pytest.mark.parametrize("painter", [painter for painter, _ in _PAINTERS], ids=lambda painter: painter.__name__)
@pytest.mark.parametrize("size", [32, 65])
def test_painters_return_finite_colours(painter: Painter, size: int) -> None:
    for index in range(5):
        picture = painter(size, generator(0, "test", index))
        assert picture.shape == (size, size, 3)
        assert picture.dtype == np.float32
        assert np.isfinite(picture).all()


@pytest.mark.parametrize("draw", [scene, texture])
def test_scenes_are_repeatable_and_differ(draw: object) -> None:
    assert callable(draw)
    pictures = [draw(64, generator(1, "test", index)) for index in range(12)]
    again = [draw(64, generator(1, "test", index)) for index in range(12)]
    for one, other in zip(pictures, again, strict=True):
        assert one.shape == (64, 64, 3)
        assert one.dtype == np.uint8
        np.testing.assert_array_equal(one, other)
    assert len({picture.tobytes() for picture in pictures}) == 12


def test_scenes_hold_dark_and_bright_grey_and_colourful_ones() -> None:
    pictures = np.stack([scene(32, generator(2, "test", index)) for index in range(60)]).astype(float)
    brightness = pictures.mean(axis=(1, 2, 3))
    assert brightness.std() > 20
    assert 60 < brightness.mean() < 190
    colourfulness = np.ptp(pictures, axis=3).mean(axis=(1, 2))
    assert (colourfulness < 3).any()
    assert (colourfulness > 50).any()


def test_dead_leaves_have_edges_and_flat_parts() -> None:
    """Steps between neighbours are mostly small and sometimes large, as in photographs."""
    steps = np.concatenate(
        [np.diff(dead_leaves(64, generator(0, "test", index)).mean(axis=2), axis=1).ravel() for index in range(8)]
    )
    kurtosis = ((steps - steps.mean()) ** 4).mean() / steps.var() ** 2
    assert kurtosis > 6


def test_streams_and_steps_are_independent() -> None:
    draws = {generator(seed, stream, step).random() for seed in (0, 1) for stream in ("a", "b") for step in (0, 1)}
    assert len(draws) == 8
    assert generator(0, "a", 1).random() == generator(0, "a", 1).random()


def test_value_noise_interpolates_within_reason() -> None:
    noise = value_noise(64, (4, 16), generator(0, "test"))
    assert noise.shape == (64, 64)
    assert noise.min() > -0.4
    assert noise.max() < 1.4
    across, down = (np.abs(np.diff(noise, axis=axis)).mean() for axis in (1, 0))
    assert across > 2 * down


def test_spectral_noise_has_the_exponent_asked_for() -> None:
    spectra = [np.abs(np.fft.rfft(spectral_noise(128, 1.5, generator(0, "test", k)), axis=1)) ** 2 for k in range(8)]
    power = np.mean(spectra, axis=(0, 1))
    # a cut of an isotropic 2-D spectrum 1/f^(2·1.5) has the 1-D exponent 2·1.5 − 1
    slope = np.polyfit(np.log(np.arange(4, 32)), np.log(power[4:32]), 1)[0]
    assert slope == pytest.approx(-2, abs=0.35)


def test_smooth_keeps_constants_and_removes_detail() -> None:
    np.testing.assert_allclose(smooth(np.full((20, 20), 3, dtype=np.float32), 2.0), 3, rtol=1e-5)
    noise = fractal_noise(40, generator(0, "test"), cells=8)
    assert smooth(noise, 4.0).std() < 0.5 * noise.std()
    assert normalise(np.full((4, 4), 7, dtype=np.float32)).max() == 0


def test_palettes_are_colours() -> None:
    for index in range(40):
        colours = palette(generator(0, "test", index), 5)
        assert colours.shape == (5, 3)
        assert colours.min() >= 0
        assert colours.max() <= 1
