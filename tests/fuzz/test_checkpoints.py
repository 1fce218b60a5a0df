"""Checkpoints: the files of TensorFlow, the state file, the step; and `.pict` files."""

import json

import numpy as np
import pytest
from hypothesis import strategies as st

from . import crafted_files, valid_files
from .damage import damaged
from .strategies import Files, damaged_in_folder, damages, json_text, json_values


@pytest.fixture
def files_of(tmp_path):
    """A function from variables to a checkpoint's files."""
    folder = tmp_path / "saved"
    folder.mkdir()

    def files_of(arrays, name="model-3"):
        for path in folder.iterdir():
            path.unlink()
        return valid_files.checkpoint(folder, arrays, name)

    return files_of


def test_damaged_checkpoint(fuzz_files, files_of):
    variables = valid_files.variables()
    valid, saved = files_of(variables), valid_files.savez(variables)

    @st.composite
    def cases(draw):
        files = dict(valid)
        name = draw(st.sampled_from(sorted(files)))
        done = draw(damages(len(files[name]), tuple(files.values())))
        files[name] = damaged(files[name], done)
        if draw(st.integers(0, 9)) == 0:
            del files[draw(st.sampled_from(sorted(files)))]
        note = f"{name} after {[tuple(one) for one in done]}"
        return Files((*files.items(), ("saved.npz", saved)), (), note)

    fuzz_files("checkpoint", cases(), "readers:checkpoint")


def test_checkpoint_state(fuzz_files, files_of):
    """The file `checkpoint`, which names the newest checkpoint, and names of checkpoints."""
    variables = valid_files.variables()
    names = (
        "model-3",
        "model-12",
        "model-٣",
        "model-x",
        "a-b-7",
        "m[o]del-3",
        "é-3",
        "-3",
        "model-³",
    )
    found = {name: files_of(variables, name) for name in names}
    state = b'model_checkpoint_path: "model-3"\nall_model_checkpoint_paths: "model-3"\n'
    paths = st.sampled_from(
        (
            *names,
            *(
                "",
                ".",
                "..",
                "/",
                "../model/model-3",
                "/nowhere/model-3",
                "model-3.index",
                "*",
                "[!x]*",
            ),
            *(
                "a\0b",
                "x" * 300,
                "\\",
                '\\"',
                "model-3\\n",
                "**",
                "/**",
                "**/**",
                "\ud800",
                "[",
                "~",
            ),
        )
    )
    texts = st.one_of(
        paths.map(lambda path: f'model_checkpoint_path: "{path}"\n'.encode(errors="surrogatepass")),
        damages(len(state)).map(lambda done: damaged(state, done)),
        st.binary(max_size=20),
    )
    held = st.lists(st.sampled_from(names), min_size=1, max_size=2)

    def case(text, held):
        files = {}
        for name in held:
            files |= found[name]
        files["model/checkpoint"] = text
        return Files((*files.items(), ("saved.npz", valid_files.savez(variables))), (), f"{text}")

    fuzz_files("checkpoint state", st.builds(case, texts, held), "readers:checkpoint")


def test_global_step(fuzz_files, files_of):
    variables = valid_files.variables()
    steps = st.one_of(
        st.sampled_from(
            (
                *(np.int32(7), np.int64(-1), np.int64(2**62), np.uint64(2**64 - 1), np.uint8(3)),
                *(np.float32(3.7), np.float64("nan"), np.float64("inf"), np.float64(1e300)),
                *(np.bool_(True), np.complex64(1), b"3", "x", np.array([3]), np.array([[3]])),
                *(np.array([], np.int64), np.array([1, 2]), np.array([b"3"]), np.float16(2)),
            )
        ),
        st.integers(-(2**63), 2**63 - 1).map(np.int64),
    )

    def case(step):
        files = files_of({**variables, "global_step": step})
        saved = valid_files.savez(variables)
        return Files((*files.items(), ("saved.npz", saved)), (), repr(step))

    fuzz_files("global_step", steps.map(case), "readers:checkpoint")


def test_pict(fuzz_files, tmp_path):
    valid = valid_files.pict(tmp_path)
    blocks, rest = [], valid
    while rest:
        size = int.from_bytes(rest[:4], "big")
        blocks.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    shapes, book, codes = blocks
    entries = json.loads(shapes)
    numbers = st.sampled_from((0, 1, 2, 3, 4, -1, 2**31, 2**63, 10**30, 1.5, True, None, "2", []))
    names = st.sampled_from((*(entry["name"] for entry in entries), "", "x", "é", 3, None, "a\nb"))

    @st.composite
    def changed_shapes(draw):
        found = [dict(entry) for entry in entries]
        for _ in range(draw(st.integers(1, 2))):
            entry = found[draw(st.integers(0, len(found) - 1))]
            what = draw(st.sampled_from(("name", "shape", "dimension", "remove", "json")))
            if what == "name":
                entry["name"] = draw(names)
            elif what == "shape":
                entry["shape"] = draw(st.lists(numbers, max_size=5))
            elif what == "dimension" and entry.get("shape"):
                entry["shape"] = [*entry["shape"]]
                entry["shape"][draw(st.integers(0, len(entry["shape"]) - 1))] = draw(numbers)
            elif what == "remove":
                entry.pop(draw(st.sampled_from(("name", "shape"))), None)
            elif what == "json":
                entry["shape"] = draw(json_values)
        return json_text(found)

    values = st.sampled_from((np.nan, np.inf, 1e38, 0)).map(
        lambda v: np.full(256, v, "<f4").tobytes()
    )
    parts = st.tuples(
        st.one_of(st.just(shapes), changed_shapes(), json_values.map(json_text)),
        st.one_of(st.just(book), values, st.sampled_from((b"", book[:-1], book[:400], book * 2))),
        st.sampled_from((codes, codes, codes, codes[:-1], codes + b"\0", b"")),
    )
    more = st.lists(st.binary(max_size=3), max_size=1)
    cases = st.one_of(
        damaged_in_folder("model.pict", {"model.pict": valid}),
        st.builds(
            lambda parts, more: Files((("model.pict", crafted_files.pict([*parts, *more])),)),
            parts,
            st.one_of(st.just([]), more),
        ),
    )
    fuzz_files("pict", cases, "readers:pict")
