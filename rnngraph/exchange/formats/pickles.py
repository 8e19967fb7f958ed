"""What is said of files that hold pickles: reading one runs whatever code is in it, so none is read here.

Which kind of file it is shows without running anything: `pickletools` only names the instructions.
"""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path

from rnngraph.diagnostics.errors import UserError

ENDINGS = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle")
_INSIDE = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
"""Keys under which a checkpoint keeps the arrays of its model; Lightning's is the first."""
_SAFE = ("torch", "__torch__", "collections", "numpy", "builtins", "__builtin__", "_codecs")


def refusal(path: str) -> UserError:
    """The error for a file that is, or may be, a pickle, with the command that makes another file of it."""
    script, words, classes = _contents(path)
    out = Path(path).with_suffix(".safetensors")
    strange = sorted(c for c in classes if c.partition(".")[0] not in _SAFE)
    whole = any(c.startswith("torch.nn.modules") for c in classes)
    loaded = f"torch.load('{path}', map_location='cpu', weights_only={not (whole or strange)})"
    if script:
        loaded = f"torch.jit.load('{path}', map_location='cpu').state_dict()"
    elif whole:
        loaded += ".state_dict()"
    elif inside := next((key for key in _INSIDE if key in words), None):
        loaded += f"['{inside}']"
    elif not words:
        loaded += "; d = d.get('state_dict', d)"
    command = (
        f"import torch; from safetensors.torch import save_file; d = {loaded}; "
        f"save_file({{k: v.clone().contiguous() for k, v in d.items() if torch.is_tensor(v)}}, '{out}')"
    )
    held = f"objects of {', '.join(strange[:3])}" if strange else "a whole module"
    trusted = f", and the file is trusted (it holds {held})" if "weights_only=False" in loaded else ""
    return UserError(
        f"`{path}` {_kind(script, words)}, and reading a pickle runs whatever code is in it",
        "E696",
        f'where PyTorch is installed{trusted}, write its weights as safetensors: `python -c "{command}"`',
    )


def _kind(script: bool, words: set[str]) -> str:
    if script:
        return "is a TorchScript file, with a pickle inside"
    if "pytorch-lightning_version" in words:
        return "is a checkpoint of Lightning, with a pickle inside"
    return "is a PyTorch file, with a pickle inside" if words else "may be a pickle"


def _contents(path: str) -> tuple[bool, set[str], set[str]]:
    """Whether it is TorchScript, and the texts and classes that the pickle of a PyTorch file names."""
    if not zipfile.is_zipfile(path):
        return False, set(), set()
    with zipfile.ZipFile(path) as whole:
        names = whole.namelist()
        inside = next((n for n in names if n.rpartition("/")[2] == "data.pkl"), None)
        script = any("/code/" in n for n in names)
        return script, *(_named(whole.read(inside)) if inside else (set[str](), set[str]()))


def _named(pickle: bytes) -> tuple[set[str], set[str]]:
    words: set[str] = set()
    classes: set[str] = set()
    last: list[str] = []
    try:
        for code, value, _ in pickletools.genops(pickle):
            if code.name == "GLOBAL":
                classes.add(str(value).replace(" ", "."))
            elif code.name == "STACK_GLOBAL" and len(last) > 1:
                classes.add(".".join(last[-2:]))
            elif isinstance(value, str):
                words.add(value)
                last.append(value)
    except ValueError:  # cut short: what was named so far is told
        pass
    return words, classes
