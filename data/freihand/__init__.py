"""FreiHAND (Zimmermann et al., ICCV 2019) and other data sets in its file layout."""
