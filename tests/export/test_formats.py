import typing

from peclr_jax.export.formats import FormatName, formats


def test_every_format_is_in_the_table():
    assert set(formats(1)) == set(typing.get_args(FormatName))
