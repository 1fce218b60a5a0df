"""What lies in a folder: its files as bytes to compare, leftovers, and its checkpoint."""

import json
import os
import re

import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints.find_checkpoint import find_prefix

_TEMPORARY = re.compile(r"\.unfinished|\.former|\.part(\.|$)|\.tempstate")
# Time and machine: TensorBoard's files, how long a row's stages took, the page's rates.
_OF_ITS_TIME = re.compile(r"(^|/)(events\.out\.tfevents\.|row\.lock$)")
_PAGE = re.compile(r"(^|/)index\.html$")
_VARYING = (
    re.compile(rb'"seconds": (\[[^\]]*\]|[^,\n]*)'),
    re.compile(rb'seconds of training(</dt>\s*<dd>|": "|: )[^<"\n]*'),
    re.compile(rb"\d+(\.\d+)? seconds?"),
    # A row's digest of its evaluation.json, which names folders. That file itself is compared.
    re.compile(rb'"wrote": "[0-9a-f]+"'),
)
_STATE = re.compile(rb'<div id="run" data-state="(\w+)"')


def contents_of(folder):
    """The files below a folder by name, without what depends on time and place.

    Of a run's page only the state is kept. The folder's own path is left out of all files.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir():
            found[name] = None
        elif not _OF_ITS_TIME.search(name):
            found[name] = _stable(name, path.read_bytes(), folder)
    return found


def _stable(name, contents, folder):
    state = _STATE.search(contents) if _PAGE.search(name) else None
    if state:
        return state[1]
    for parent in (folder, folder.parent):
        contents = contents.replace(os.fsencode(parent), b"FOLDER")
    for pattern in _VARYING:
        contents = pattern.sub(b"", contents)
    return contents


def differences(found, wanted):
    """The names whose contents differ, a line each."""
    lines = []
    for name in sorted(found.keys() | wanted.keys()):
        if name not in found:
            lines.append(f"{name} is missing")
        elif name not in wanted:
            lines.append(f"{name} is left over")
        elif found[name] != wanted[name]:
            lines.append(f"{name} differs: {_first_difference(found[name], wanted[name])}")
    return lines


def _first_difference(found, wanted):
    found, wanted = found or b"", wanted or b""
    pairs = zip(found, wanted, strict=False)
    place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(found), len(wanted)))
    part = slice(max(0, place - 20), place + 40)
    return f"{found[part]!r}, not {wanted[part]!r} at byte {place}"


def leftovers(folder):
    """Temporary files and folders below a folder."""
    names = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return sorted(name for name in names if _TEMPORARY.search(name))


def restored_step(folder):
    """Reads the newest checkpoint in full; returns its step, 0 where there is none.

    Raises:
      UserError: the checkpoint has lost files.
      tf.errors.OpError: it cannot be read.
    """
    prefix = find_prefix(folder) if folder.is_dir() else None
    if prefix is None:
        return 0
    reader = tf.train.load_checkpoint(str(prefix))
    for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)
    return int(reader.get_tensor("global_step")) if reader.has_tensor("global_step") else 0


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text().splitlines()]
