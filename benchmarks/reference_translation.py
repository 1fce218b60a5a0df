"""The reference program's complete test mode in its own operations, a baseline for timing.

    python benchmarks/reference_translation.py --input_dir DIR --checkpoint DIR --output_dir DIR

As in the reference, queues read the images one by one; the whole training graph is built and
restored, Adam's moments included; PNGs are encoded in the graph; each image is one `Session.run`
call, after which its files are written. With `--make`, the program writes a checkpoint of untrained
networks instead.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import reference_step
import tensorflow.compat.v1 as tf

SIZE = 256


def read(input_dir):
    """Builds queues of pairs; returns the number of pairs, and a batch of path and halves."""
    paths = sorted(str(path) for path in Path(input_dir).glob("*.jpg"))
    queue = tf.train.string_input_producer(paths, shuffle=False)
    path, contents = tf.WholeFileReader().read(queue)
    raw = tf.image.convert_image_dtype(tf.image.decode_jpeg(contents), tf.float32)
    checked = tf.assert_equal(tf.shape(raw)[2], 3, message="image does not have 3 channels")
    with tf.control_dependencies([checked]):
        raw = tf.identity(raw)
    raw.set_shape([None, None, 3])
    width = tf.shape(raw)[1]
    halves = [raw[:, : width // 2] * 2 - 1, raw[:, width // 2 :] * 2 - 1]
    resized = [
        tf.image.resize_images(half, [SIZE, SIZE], tf.image.ResizeMethod.AREA) for half in halves
    ]
    return len(paths), tf.train.batch([path, *resized], batch_size=1)


def encoded(images):
    """Encodes float32 images in [-1, 1] as PNG files."""
    images = tf.image.convert_image_dtype((images + 1) / 2, tf.uint8, saturate=True)
    return tf.map_fn(tf.image.encode_png, images, dtype=tf.string)


def build(input_dir, options):
    """Builds the graph; returns the number of images, the training ops and each image's fetches."""
    tf.disable_v2_behavior()  # as TensorFlow 1 programs run today
    count, (path, b, a) = read(input_dir)
    train = reference_step.build_step(a, b, options)  # BtoA
    outputs = tf.get_default_graph().get_tensor_by_name("generator/decoder_1/Tanh:0")
    for variable in tf.trainable_variables():
        tf.summary.histogram(f"{variable.op.name}/values", variable)
    images = {"inputs": a, "outputs": outputs, "targets": b}
    return count, train, {"path": path, **{kind: encoded(p) for kind, p in images.items()}}


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--input_dir", required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path)
    parser.add_argument("--make", action="store_true")
    options = parser.parse_args()
    sizes = argparse.Namespace(ngf=64, ndf=64, lr=2e-4, beta1=0.5, gan_weight=1.0, l1_weight=100.0)
    count, _, fetches = build(options.input_dir, sizes)
    saver = tf.train.Saver(max_to_keep=1)
    supervisor = tf.train.Supervisor(logdir=None, save_summaries_secs=0, saver=None)
    with supervisor.managed_session() as session:
        if options.make:
            options.checkpoint.mkdir(parents=True, exist_ok=True)
            saver.save(session, str(options.checkpoint / "model"))
            return
        saver.restore(session, tf.train.latest_checkpoint(str(options.checkpoint)))
        images = options.output_dir / "images"
        images.mkdir(parents=True, exist_ok=True)
        with (options.output_dir / "index.html").open("w") as index:
            for _ in range(count):
                found = session.run(fetches)
                name = Path(found["path"][0].decode()).stem
                index.write(f"<tr><td>{name}</td>")
                for kind in ("inputs", "outputs", "targets"):
                    (images / f"{name}-{kind}.png").write_bytes(found[kind][0])
                    index.write(f'<td><img src="images/{name}-{kind}.png"></td>')
                index.write("</tr>\n")
                print("evaluated image", name)


if __name__ == "__main__":
    main()
