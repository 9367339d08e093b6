import pytest

from peclr_jax.views.operations import OPERATIONS
from peclr_jax.views.spec import ViewSpec


def test_defaults_are_the_papers_recipe():
    spec = ViewSpec()
    switched_on = [name for name in OPERATIONS if getattr(spec, name)]
    assert switched_on == ["color_jitter"]
    assert (spec.rotation_deg, spec.scale, spec.translation[1] * 128) == (45, (0.6, 2.0), 15)
    ranges = (spec.hue, spec.saturation, spec.value_gain, spec.value_offset)
    assert ranges == ((0.01, 1), (0.01, 1), (0.5, 1), (5, 20))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 0),
        ("source_margin", -1.0),
        ("rotation_deg", float("nan")),
        ("scale", (0.0, 1.0)),
        ("scale", (2.0, 0.6)),
        ("hue", (0.5, 0.1)),
        ("blur_sigma", (0.0, 1.0)),
        ("blur_probability", 1.5),
        ("noise_deviation", -1.0),
    ],
)
def test_impossible_ranges_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"^{field} "):
        ViewSpec(**{field: value})
