"""Ways to break raw files: each returns a function of the folder that holds them."""

import json

HTML = "<html>404</html>"


def edit_json(path, change):
    """Replaces a file's content by what `change` returns, or changes in it."""
    content = json.loads(path.read_text())
    changed = change(content)
    path.write_text(json.dumps(content if changed is None else changed))


def edited(name, change):
    return lambda folder: edit_json(folder / name, change)


def cut(name, keep):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def written(name, content=HTML):
    content = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / name).write_bytes(content)


def moved(name, new_name):
    return lambda folder: (folder / name).rename((folder / name).with_name(new_name))


def removed(pattern):
    return lambda folder: [path.unlink() for path in folder.glob(pattern)]
