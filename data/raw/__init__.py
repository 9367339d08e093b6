"""Raw files as people have them: what records were made of, what labels can mean."""
