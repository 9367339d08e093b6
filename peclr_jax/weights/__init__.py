"""Networks in one file each: the released one, which is part of the package, and anybody's.

"released" names it wherever a checkpoint is named; a folder of that name is "./released".
"""

import os
from pathlib import Path

from peclr_jax.errors import MissingFileError

RELEASED = "released"
"""The name, in place of a checkpoint's path, of the network that is part of the package."""
SUFFIX = ".safetensors"
_FILE = Path(__file__).with_name(RELEASED + SUFFIX)


def find(checkpoint: str | os.PathLike[str]) -> Path | None:
    """Returns the file that the name of a checkpoint stands for, None if it names a folder.

    Only the text "released" is the name of the network in the package; a `Path` never is.
    """
    if isinstance(checkpoint, str) and checkpoint == RELEASED:
        if not _FILE.is_file():
            raise MissingFileError(
                f"this installation has no released network ({_FILE} is not there): train one "
                "(python main.py --config=configs/finetune.py) or name a checkpoint, for example "
                "--config.checkpoint=runs/finetune"
            )
        return _FILE
    if not os.fspath(checkpoint).endswith(SUFFIX) or os.path.isdir(checkpoint):
        return None
    if not os.path.isfile(checkpoint):
        raise MissingFileError(f"there is no weights file {checkpoint}: check the path")
    return Path(checkpoint)
