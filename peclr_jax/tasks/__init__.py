"""Tasks: each module's `run(config, workdir)` is one thing to do from the command line."""
