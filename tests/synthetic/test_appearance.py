import numpy as np


def test_skin_tones_are_even_from_dark_to_light(scenes):
    lightness = np.asarray(scenes.appearance.lightness)
    counts, _ = np.histogram(lightness, bins=4, range=(0, 1))
    assert np.all(np.abs(counts - lightness.size / 4) < 4 * np.sqrt(lightness.size * 3 / 16))
    brightness = np.mean(scenes.appearance.skin, axis=0)
    assert np.corrcoef(brightness, lightness)[0, 1] > 0.9
