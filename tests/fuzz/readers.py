"""What a worker calls: reads a folder's files as the programs do, and checks what was accepted.

A function accepts by returning and refuses by raising what the parser raises. It raises
`WrongResultError` if the parser accepted a file but gave something that is not in the file, which
an independent reader says: NumPy, csv, json, tarfile, TensorFlow or Pillow.
"""

import csv
import json
import math
import os
import shutil
import struct

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.checkpoints import convert, pict_files, restore_checkpoint
from p2p_graph.config.data_options import ImageSource
from p2p_graph.config.listed_values import Channels
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import (
    MODEL_FIELDS,
    model_options,
    read_options,
    read_record,
    save_options,
)
from p2p_graph.config.resumed_options import check_unchanged
from p2p_graph.data.image_sources import list_images, read_manifest
from p2p_graph.imaging import palettes
from p2p_graph.inference.option_precedence import with_training_split
from p2p_graph.runtime.cluster import read_cluster
from p2p_graph.segmentation.segmenter_file import SEGMENTER_FILE, SIZE_MULTIPLE, Metadata
from p2p_graph.utils.errors import UserError

from ..forked.verdicts import expect, one_line_problem, same_bits

# --- options.json


def options_json(folder):
    """Every reader of options.json; what they accept survives a round trip."""
    accepted = [
        _accepts(check, folder)
        for check in (_options_round_trip, _model_options, _resumed, _split_of_training)
    ]
    if not any(accepted):
        read_options(folder)  # refuses


def _options_round_trip(folder):
    options = Options.of(**read_options(folder))
    read_record(folder)
    again = folder / "again"
    again.mkdir()
    save_options(options, again)
    read = Options.of(**read_options(again))
    expect(read == options, "options change on a round trip", (options.flat(), read.flat()))


def _model_options(folder):
    stored = model_options(folder)
    expect(set(stored) == set(MODEL_FIELDS), "model options are missing", stored)
    written = json.loads((folder / "options.json").read_bytes())
    for name in set(stored) & set(written) - {"levels"}:
        value = written[name]
        if name.endswith("_channels") and value is None and not stored["lab_colorization"]:
            value = 3
        if name == "input_channels" and value is not None:
            value = Channels.parse(value).stored
        expect(stored[name] == value, "a model option is not the file's", name)


def _resumed(folder):
    check_unchanged(Options.of(input_dir=str(folder), levels=8).flat(), folder, {})


def _split_of_training(folder):
    checkpoint = restore_checkpoint.need(folder)
    options = Options.of(input_dir=str(folder))
    with_training_split(options, {"input_dir": str(folder)}, checkpoint)


# --- CSV


def manifest_csv(folder, single):
    """A manifest's entries are those that csv reads; listed images exist and decode."""
    path = folder / "list.csv"
    entries = read_manifest(path, single=single)
    header, *rows = _csv_rows(path, skipinitialspace=True)
    if len(set(header)) == len(header):
        columns = [header.index(name) for name in (("input",) if single else ("input", "target"))]
        wanted = [tuple(folder / row[column] for column in columns) for row in rows]
        found = [tuple(filter(None, entry)) for entry in entries]
        expect(found == wanted, "entries are not the file's", (found, wanted))
    source = ImageSource(manifest=str(path), skip_bad=True)
    for image in list_images(source, single=single):
        for file in filter(None, (image.path, image.target)):
            with Image.open(file) as opened:
                expect(opened.size == (image.width, image.height), "a size is wrong", file)


def palette_csv(folder):
    """A palette's classes are those that csv reads, and each has its colour."""
    path = folder / "palette.csv"
    palette = palettes.load(str(path))
    header, *rows = _csv_rows(path)
    colours = [*palette.classes.values(), *palette.ignored]
    expect(all(0 <= value <= 255 for value in np.ravel(colours)), "no colour", colours)
    expect(len(set(colours)) == len(colours), "a colour twice", colours)
    if len(set(header)) == len(header):
        named, wanted = {}, []
        for row in rows:
            cells = dict(zip(header, row, strict=False))
            colour = tuple(int(cells[name]) for name in ("red", "green", "blue"))
            wanted.append(colour)
            if name := cells.get("class", "").strip():
                named[name] = colour
        expect(dict(palette.classes) == named, "classes are not the file's", (palette, named))
        expect(sorted(colours) == sorted(wanted), "colours are not the file's", (colours, wanted))
    image = np.array([list(palette.classes.values())], np.uint8)
    ids = palette.class_ids(image)[0]
    expect(ids.tolist() == list(range(len(palette.classes))), "colours have other classes", ids)


def _csv_rows(path, **form):
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file, **form)
    return [header, *(row for row in rows if row)]


# --- .pict


def pict(folder):
    """Weights are the codebook's values by the codes, under the names and shapes of the JSON."""
    path = folder / "model.pict"
    arrays = pict_files.read(path)
    data, blocks = path.read_bytes(), []
    while data:
        (length,) = struct.unpack(">I", data[:4])
        blocks.append(data[4 : 4 + length])
        data = data[4 + length :]
    shapes, book, codes = blocks
    flat, start, wanted = np.frombuffer(book, "<f4")[list(codes)], 0, {}
    for entry in json.loads(shapes):
        end = start + math.prod(entry["shape"])
        wanted[entry["name"]] = flat[start:end].reshape(entry["shape"])
        start = end
    expect(len(wanted) == len(json.loads(shapes)), "a name twice", shapes[:300])
    expect(sorted(arrays) == sorted(wanted), "names are not the file's", sorted(arrays))
    for name, array in wanted.items():
        expect(same_bits(arrays[name], array), "weights are not the file's", name)
    _convert_and_compare(folder, arrays)


def _convert_and_compare(folder, arrays):
    """A conversion gives the weights of the `.pict`; or it refuses, and leaves nothing."""
    target = folder / "native"
    try:
        convert.convert(folder / "model.pict", target, "native", "AtoB")
    except UserError as error:
        expect(not target.exists(), "a refused conversion leaves files", str(error))
        raise
    reader = tf.train.load_checkpoint(str(restore_checkpoint.need(target).prefix))
    for name in reader.get_variable_to_shape_map():
        if name.endswith("/filter"):
            current = name.replace("deconv/filter", "conv2d_transpose/kernel")
            found = arrays.get(current.replace("conv/filter", "conv2d/kernel"), arrays.get(name))
            expect(same_bits(found, reader.get_tensor(name)), "a conversion changes", name)
    Options.of(**read_options(target))


# --- checkpoints


def checkpoint(folder):
    """Accepted variables of the checkpoint in `model` are those of `saved.npz`, bit for bit."""
    found = restore_checkpoint.need(folder / "model")
    step = found.step()
    expect(isinstance(step, int) and step >= 0, "a step", step)
    # Under a plain name: TensorFlow takes brackets and stars for patterns.
    for path in found.prefix.parent.iterdir():
        if path.name.startswith(f"{found.prefix.name}."):
            shutil.copy(path, folder / path.name.replace(found.prefix.name, "plain", 1))
    reader = tf.train.load_checkpoint(str(folder / "plain"))
    if "global_step" in found.stored:
        stored = np.asarray(reader.get_tensor("global_step"))
        expect(stored.dtype.kind in "iu" and stored.shape == (), "a step's form", stored)
        expect(step == int(stored), "a step is not the file's", (step, stored))
    with tf.Graph().as_default(), tf.Session() as session:
        variables = [
            tf.get_variable(name, shape, tf.float32, trainable=False)
            for name, shape in found.shapes.items()
            if name != "global_step"
        ]
        found.restorer(variables)(session)
        values = dict(zip((v.op.name for v in variables), session.run(variables), strict=True))
    with np.load(folder / "saved.npz") as saved:
        for name, value in values.items():
            expect(name in saved and same_bits(value, saved[name]), "a variable changed", name)


# --- segmenter.json


def segmenter_json(folder):
    """What is accepted is what training writes: right types, colours, and the file's values."""
    metadata = Metadata.load(folder)
    record = json.loads((folder / SEGMENTER_FILE).read_bytes())
    palette = metadata.palette
    colours = [*palette.classes.values(), *palette.ignored]
    expect(all(0 <= value <= 255 for value in np.ravel(colours)), "no colour", colours)
    expect(metadata.width >= 1 and metadata.steps >= 0, "a number", metadata)
    expect(metadata.size >= 1 and metadata.size % SIZE_MULTIPLE == 0, "a size", metadata)
    again = folder / "again"
    again.mkdir()
    metadata.save(again)
    saved = json.loads((again / SEGMENTER_FILE).read_bytes())
    for name, value in saved.items():
        both = value, record.get(name)  # files of earlier versions lack the last keys
        # NaN equals itself as text only.
        same = both[0] == both[1] or json.dumps(both[0]) == json.dumps(both[1]) or not any(both)
        expect(same, "a value is not the file's", both)
    ordered = [list(each["palette"]["classes"]) for each in (saved, record)]
    expect(ordered[0] == ordered[1], "classes are in another order", ordered)
    expect(Metadata.load(again) == metadata, "metadata changes on a round trip", metadata)


# --- TF_CONFIG


def tf_config(folder):
    """What is accepted names this process in its job, and hosts that can be looked up."""
    text = os.fsdecode((folder / "TF_CONFIG").read_bytes())
    cluster = read_cluster({"TF_CONFIG": text})
    if cluster is None:
        return
    record = json.loads(text)
    job, index = cluster.task
    expect(job == record["task"]["type"], "another job", (job, record))
    expect(index == int(record["task"]["index"]), "another number", (index, record))
    own = record["cluster"][job][index]
    expect(cluster.addresses[cluster.worker] == own, "another address", (cluster, record))
    for address in cluster.addresses:
        host, _, port = address.rpartition(":")
        host.encode("idna")  # or the socket's error is none of `OSError`
        expect(0 < int(port) < 2**16, "no port", address)


# --- helpers


def _accepts(function, *args):
    try:
        function(*args)
    except UserError as error:
        problem = one_line_problem(str(error))
        expect(not problem, problem, str(error))
        return False
    return True
