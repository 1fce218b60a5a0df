"""Small valid files of every form, as bytes, to damage."""

import functools
import glob
import io
import json
import zipfile

import numpy as np
import tensorflow.compat.v1 as tf
import tifffile
from PIL import Image

from p2p_graph.checkpoints import pict_files
from p2p_graph.config.options import Options
from p2p_graph.imaging.palettes import FACADES
from p2p_graph.segmentation.segmenter_file import Metadata

from . import crafted_files


@functools.cache
def images():
    """Image files of many forms, by name."""
    rng = np.random.default_rng(1)
    rgb = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    rgba = Image.fromarray(rng.integers(0, 256, (6, 8, 4), np.uint8))
    deep = Image.fromarray(rng.integers(0, 2**16, (6, 8), np.uint16))
    exif = Image.Exif()
    exif[0x112] = 6  # to be turned
    forms = {
        "rgb.png": (rgb, {}),
        "rgba.png": (rgba, {}),
        "grey.png": (rgb.convert("L"), {}),
        "palette.png": (rgb.convert("P"), {"transparency": 1}),
        "bits.png": (rgb.convert("1"), {}),
        "deep.png": (deep, {}),
        "rgb.jpg": (rgb, {"quality": 95, "subsampling": 0}),
        "grey.jpg": (rgb.convert("L"), {}),
        "cmyk.jpg": (rgb.convert("CMYK"), {}),
        "progressive.jpg": (rgb, {"progressive": True, "exif": exif}),
        "rgb.gif": (rgb, {}),
        "rgb.bmp": (rgb, {}),
        "rgb.webp": (rgb, {"lossless": True}),
        "rgb.tiff": (rgb, {}),
    }
    return {name: _encoded(image, name, options) for name, (image, options) in forms.items()}


def _encoded(image, name, options):
    out = io.BytesIO()
    image.save(out, Image.registered_extensions()[f".{name.rpartition('.')[2]}"], **options)
    return out.getvalue()


def pairs():
    """Two images of pairs, 8x6 pixels."""
    return {"images/1.png": images()["rgb.png"], "images/2.png": images()["grey.png"]}


def options():
    """A run's options.json, as a dict."""
    record = {"working_dir": "/", "version": "1.0", "images": "3 abc"}
    flat = Options.of(input_dir="images", output_dir="run", split=0.5, levels=8).flat()
    return json.loads(json.dumps({**flat, **record}))


@functools.cache
def npz():
    """Archives of two arrays of images, by name."""
    arrays = _pair_arrays()
    uncompressed, compressed = io.BytesIO(), io.BytesIO()
    np.savez(uncompressed, *arrays)
    np.savez_compressed(compressed, *(array.astype(np.float32) for array in arrays))
    return {"uint8.npz": uncompressed.getvalue(), "float32.npz": compressed.getvalue()}


@functools.cache
def npy():
    """Single arrays of images as .npy files, by name."""
    first, second = _pair_arrays()
    found = {}
    arrays = {
        "uint8": first,
        "float32": second / np.float32(2),
        "grey": first[..., 0],
        "fortran": np.asfortranarray(first),
        "int64": second.astype(">i8"),
    }
    for name, array in arrays.items():
        out = io.BytesIO()
        np.save(out, array)
        found[name] = out.getvalue()
    return found


@functools.cache
def arrays():
    """Images of several channels as .npy and TIFF files, by name."""
    rng = np.random.default_rng(3)
    values = rng.integers(0, 256, (9, 11, 5), np.uint8)
    kinds = {
        "uint8": values,
        "grey": values[..., 0],
        "uint16": values.astype(np.uint16) * 257,
        "float32": values.astype(np.float32) / 255,
    }
    found = {}
    for name, array in kinds.items():
        out = io.BytesIO()
        np.save(out, array)
        found[f"{name}.npy"] = out.getvalue()
        forms = {"plain": {}, "zipped": {"compression": "zlib"}}
        forms["tiled"] = {"tile": (16, 16), "byteorder": ">"}
        for form, options in forms.items():
            out = io.BytesIO()
            tifffile.imwrite(out, array, photometric="minisblack", **options)
            found[f"{name}-{form}.tif"] = out.getvalue()
    out = io.BytesIO()
    Image.fromarray(values[..., :4]).save(out, "TIFF", compression="tiff_lzw")
    return {**found, "lzw.tif": out.getvalue()}


def _pair_arrays():
    rng = np.random.default_rng(2)
    return [rng.integers(0, 256, (2, 4, 4, 3), np.uint8) for _ in range(2)]


@functools.cache
def moments():
    """The arrays of a statistics file."""
    features = np.random.default_rng(3).normal(size=(9, 4))
    centred = features - features.mean(0)
    return {
        "count": np.int64(9),
        "mean": features.mean(0),
        "scatter": centred.T @ centred,
        "digest": np.str_("0" * 64),
        "features": features.astype(np.float32),
    }


def savez(arrays):
    """An .npz archive of arrays by name."""
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def pict(folder):
    """A `.pict` of a generator with two levels, written into a folder."""
    rng = np.random.default_rng(4)
    shapes = {
        "encoder_1/conv2d/kernel": (4, 4, 3, 2),
        "encoder_1/conv2d/bias": (2,),
        "encoder_2/conv2d/kernel": (4, 4, 2, 4),
        "encoder_2/conv2d/bias": (4,),
        "encoder_2/batch_normalization/gamma": (4,),
        "encoder_2/batch_normalization/beta": (4,),
        "decoder_2/conv2d_transpose/kernel": (4, 4, 2, 4),
        "decoder_2/conv2d_transpose/bias": (2,),
        "decoder_2/batch_normalization/gamma": (2,),
        "decoder_2/batch_normalization/beta": (2,),
        "decoder_1/conv2d_transpose/kernel": (4, 4, 3, 4),
        "decoder_1/conv2d_transpose/bias": (3,),
    }
    arrays = {
        f"generator/{name}": rng.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    pict_files.write(folder / "model.pict", arrays)
    return (folder / "model.pict").read_bytes()


def segmenter():
    """A segmenter.json, as a dict."""
    scores = {"per_pixel": 0.5, "class_iou": 0.25}
    training = {"lr": 0.001, "seed": 0, "which_direction": "AtoB"}
    metadata = Metadata(FACADES, 4, 64, 100, scores, "efficientnet_lite0", training)
    return {**metadata._asdict(), "palette": metadata.palette._asdict()}


def example(**values):
    """A tf.train.Example: bytes, integers and floats by name, or lists of them."""
    features = tf.train.Features()
    for name, value in values.items():
        listed = value if isinstance(value, list) else [value]
        feature = features.feature[name]
        if all(isinstance(each, bytes) for each in listed):
            feature.bytes_list.value.extend(listed)
        elif all(isinstance(each, int) for each in listed):
            feature.int64_list.value.extend(listed)
        else:
            feature.float_list.value.extend(listed)
    return tf.train.Example(features=features).SerializeToString(deterministic=True)


def record_values(number, both=False):
    """The values of a valid record."""
    contents = images()["rgb.png"]
    beside = {"b": images()["grey.png"]} if both else {}
    return {"name": b"%d.png" % number, "width": 8, "height": 6, "deep": 0, "a": contents, **beside}


def shard(folder, records):
    """A TFRecord file of records, with right checksums; written into a folder."""
    path = folder / "written.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path.read_bytes()


def checkpoint(written, arrays, name="model-3", folder="model/"):
    """The files of a checkpoint FOLDER/NAME by name.

    Args:
      written: where it is written.
      arrays: values by variable name.
      name: of the checkpoint.
      folder: of the files' names.
    """
    names = sorted(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(written / name),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(arrays[each]) for each in names],
    )
    found = sorted(written.glob(f"{glob.escape(name)}.*"))
    files = {f"{folder}{path.name}": path.read_bytes() for path in found}
    files[f"{folder}checkpoint"] = f'model_checkpoint_path: "{name}"\n'.encode()
    return files


@functools.cache
def variables():
    """A few variables and the step."""
    rng = np.random.default_rng(5)
    return {
        "generator/encoder_1/conv/filter": rng.normal(size=(4, 4, 3, 2)).astype(np.float32),
        "generator/encoder_2/batchnorm/scale": rng.normal(size=4).astype(np.float32),
        "discriminator/layer_1/conv/filter": rng.normal(size=(4, 4, 6, 2)).astype(np.float32),
        "global_step": np.int64(3),
    }


@functools.cache
def tar_archives():
    """A data set's archive."""
    import tarfile

    members = []
    for name in ("facades/train/1.jpg", "facades/train/2.jpg", "facades/test/1.jpg"):
        member = tarfile.TarInfo(name)
        contents = images()["rgb.jpg"] + name.encode()
        member.size = len(contents)
        members.append((member, contents))
    return {"facades.tar.gz": crafted_files.tar_gz(members)}


def unzipped(contents):
    """The files of a zip archive, by name."""
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
