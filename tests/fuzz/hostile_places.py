"""What may lie where a program expects a file or a folder, and the places where programs look."""

import os
import stat

from .conftest import TINY

_SPARSE = 3 * 2**30  # bytes: more than a program may read into memory

# --- what lies where a file or a folder should be


def _link_to(target):
    return lambda path: path.symlink_to(target)


def _link_to_fifo(path):
    fifo = path.with_name("beside.fifo")
    os.mkfifo(fifo)
    path.symlink_to(fifo.name)


def _sparse(path):
    with path.open("wb") as file:
        file.truncate(_SPARSE)


KINDS = {
    "a FIFO": os.mkfifo,
    "a socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
    "an empty file": lambda path: path.touch(),
    "a folder": lambda path: path.mkdir(),
    "a file of one byte": lambda path: path.write_bytes(b"\0"),
    "a large sparse file": _sparse,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": _link_to("nothing"),
    "a link to the folder above": _link_to(".."),
    "a link to a FIFO": _link_to_fifo,
    "/dev/null": _link_to("/dev/null"),
    "/dev/zero": _link_to("/dev/zero"),
    "/dev/full": _link_to("/dev/full"),
    "/proc/self/mem": _link_to("/proc/self/mem"),
}

_TRAIN = ("train", "--max_steps", "1", *TINY)
_VALIDATED = ("--val_dir", "images", "--sample_freq", "1")
_CONTINUED = ("--checkpoint", "model", "--max_steps", "2")
_SEGMENTED = ("--segmenter", "json:loads", "--palette", "palette.csv")
_SEGMENTER = (
    *("train_segmenter", "--palette", "palette.csv", "--output_dir", "out", "--max_steps", "1"),
    *("--crop_size", "32", "--width", "1"),
)
_EVALUATE = ("evaluate", "--results_dir", "results", "--output_dir", "out")
_FOLDERS = ("evaluate", "--outputs_dir", "images", "--targets_dir", "labelled")
READ_IMAGES = (
    (*_TRAIN, "--output_dir", "out", "--input_dir", "images"),
    ("check_data", "--input_dir", "images"),
    ("pack_npz", "--output_file", "out.npz", "--input_dir", "images"),
    ("pack_records", "--output_dir", "out", "--input_dir", "images"),
    ("process", "--operation", "grayscale", "--output_dir", "out", "--input_dir", "images"),
    ("split", "--dir", "images", "--train_frac", "0.5"),
    ("split", "--dir", "images", "--train_frac", "0.5", "--copy"),
    ("test", "--input_dir", "images", "--checkpoint", "model", "--output_dir", "out"),
    (*_TRAIN, "--output_dir", "out", "--input_dir", "labelled", "--target_dir", "images"),
    (*_TRAIN, *_VALIDATED, "--output_dir", "out", "--input_dir", "labelled"),
    (*_FOLDERS, "--output_dir", "out"),
)
_READ_MODEL = (
    ("test", "--input_dir", "images", "--checkpoint", "model", "--output_dir", "out"),
    ("export", "--checkpoint", "model", "--output_dir", "out"),
    ("convert", "--checkpoint", "model", "--to", "native", "--output", "out"),
    ("convert", "--checkpoint", "model", "--to", "pict", "--output", "out.pict"),
    (*_TRAIN, *_CONTINUED, "--input_dir", "images", "--output_dir", "out"),
    (*_TRAIN, "--input_dir", "images", "--output_dir", "model", "--max_steps", "2"),
)
_READ_RECORDS = (
    ("check_data", "--input_dir", "records"),
    (*_TRAIN, "--output_dir", "out", "--input_dir", "records"),
    ("pack_records", "--input_dir", "images", "--output_dir", "records"),
)
_WRITE = (
    *READ_IMAGES[:7],
    *_READ_MODEL[:4],
    _EVALUATE,
    (*_SEGMENTER, "--input_dir", "labelled"),
    ("download_dataset", "facades", "--output_dir", "out", "--url", "http://127.0.0.1:1"),
)
# What is replaced, and the commands that read it or write there.
PLACES = {
    "images": READ_IMAGES,
    "images/1.png": READ_IMAGES,
    "images/3.png": READ_IMAGES,
    "images/train": READ_IMAGES[5:7],
    "images/train/1.png": READ_IMAGES[5:7],
    "model": _READ_MODEL,
    "model/options.json": _READ_MODEL,
    "model/checkpoint": _READ_MODEL,
    "model/model-1.index": _READ_MODEL,
    "model/model-1.data-00000-of-00001": _READ_MODEL,
    "model/model-2.index": _READ_MODEL,
    "model/losses.jsonl": _READ_MODEL[5:],
    "results/images": (_EVALUATE,),
    "results/images/1-outputs.png": (_EVALUATE,),
    "results/images/1-targets.png": (_EVALUATE,),
    "list.csv": (
        (*_TRAIN, "--output_dir", "out", "--manifest", "list.csv"),
        ("check_data", "--manifest", "list.csv"),
    ),
    "palette.csv": (
        (*_SEGMENTER, "--input_dir", "labelled"),
        (*_EVALUATE, "--palette", "palette.csv"),
    ),
    "labelled/1.png": ((*_SEGMENTER, "--input_dir", "labelled"),),
    "images.npz": (
        ("check_data", "--input_dir", "images.npz"),
        (*_TRAIN, "--output_dir", "out", "--input_dir", "images.npz"),
    ),
    "records": _READ_RECORDS,
    "records/packed.json": _READ_RECORDS,
    "records/pairs-00000-of-00001.tfrecord": _READ_RECORDS,
    "records/more.tfrecord": _READ_RECORDS,
    "model.pict": (("convert", "--checkpoint", "model.pict", "--to", "native", "--output", "out"),),
    "inception.pb": ((*_EVALUATE, "--inception", "inception.pb"),),
    "statistics.npz": (
        (*_EVALUATE, "--inception", "inception.pb", "--target_statistics", "statistics.npz"),
    ),
    "labels": ((*_EVALUATE, *_SEGMENTED, "--labels_dir", "labels"),),
    **{
        name: ((*_EVALUATE, "--segmenter", spec, "--palette", "palette.csv"),)
        for name, spec in (
            ("segmenter", "segmenter"),
            ("segmenter/segmenter.json", "segmenter"),
            ("segmenter/saved_model.pb", "segmenter"),
            ("segmenter/net.caffemodel", "segmenter"),
            ("segmenter/net.prototxt", "segmenter"),
            ("segmenter.onnx", "segmenter.onnx"),
            ("segmenter.py", "segmenter:predict"),
        )
    },
    **dict.fromkeys(
        ("facades", "facades.tar.gz", "facades.tar.gz.part", "facades.tar.gz.part.json"),
        (("download_dataset", "facades", "--url", "http://127.0.0.1:1"),),
    ),
    "out": _WRITE,
    "out.npz": READ_IMAGES[2:3],
    "out.npz.unfinished": READ_IMAGES[2:3],
    "out/1.png": READ_IMAGES[4:5],
    "out/packed.json": READ_IMAGES[3:4],
    "out/options.json": (READ_IMAGES[0], _READ_MODEL[0]),
    "out/checkpoint": READ_IMAGES[:1],
    "out/losses.jsonl": READ_IMAGES[:1],
    "out/reports.jsonl": READ_IMAGES[:1],
    "out/.unfinished": (READ_IMAGES[0], _READ_MODEL[1]),
    "out/images": (_READ_MODEL[0], _EVALUATE),
    "out/images/1-outputs.png": _READ_MODEL[:1],
    "out/index.html": (_READ_MODEL[0], _EVALUATE),
    "out/saved_model": _READ_MODEL[1:2],
    "out/.former": _READ_MODEL[1:2],
    "out/segmenter.json": ((*_SEGMENTER, "--input_dir", "labelled"),),
}
