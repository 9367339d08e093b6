"""Dexter+Object (Sridhar et al., ECCV 2016): left hands that hold objects, fingertips labelled."""
