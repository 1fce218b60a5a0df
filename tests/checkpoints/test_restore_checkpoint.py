import os
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from p2p_graph.checkpoints import restore_checkpoint, save_checkpoint, variable_names
from p2p_graph.utils.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden"
RUNS = ["mini_seed_BtoA", "mini_lab_BtoA", "mini_current_AtoB", "mini_separable_AtoB"]
FIRST, CURRENT = RUNS[:2], RUNS[2:]  # generations
INDEX, DATA = "model-3.index", "model-3.data-00000-of-00001"
NO_UTF8 = os.fsdecode(b"\xff")


def stored_names(run):
    found = tf.train.list_variables(str(GOLDEN / run / "start" / "model-3"))
    return [name for name, _ in found]


# Names


@pytest.mark.parametrize(
    ("native", "current"),
    [
        ("generator/encoder_2/conv/filter", "generator/encoder_2/conv2d/kernel"),
        ("discriminator/layer_5/conv/bias", "discriminator/layer_5/conv2d/bias"),
        ("generator/decoder_8/deconv/filter", "generator/decoder_8/conv2d_transpose/kernel"),
        ("generator/decoder_1/deconv/bias", "generator/decoder_1/conv2d_transpose/bias"),
        (
            "generator/encoder_2/batchnorm/scale",
            "generator/encoder_2/batch_normalization/gamma",
        ),
        (
            "discriminator/layer_2/batchnorm/offset",
            "discriminator/layer_2/batch_normalization/beta",
        ),
        (
            "generator/encoder_1/separable_conv/depthwise_filter",
            "generator/encoder_1/separable_conv2d/depthwise_kernel",
        ),
        (
            "generator/decoder_1/separable_conv/pointwise_filter",
            "generator/decoder_1/separable_conv2d/pointwise_kernel",
        ),
        (
            "generator/decoder_1/separable_conv/bias",
            "generator/decoder_1/separable_conv2d/bias",
        ),
    ],
)
@pytest.mark.parametrize("slot", ["", "/Adam", "/Adam_1"])
def test_names_of_both_generations(native, current, slot):
    assert variable_names.to_current(native + slot) == current + slot
    assert variable_names.to_native(current + slot) == native + slot
    assert variable_names.to_current(current + slot) == current + slot
    assert variable_names.to_native(native + slot) == native + slot
    assert variable_names.is_weight(native) is True
    assert variable_names.is_weight(native + "/Adam") is False
    assert variable_names.is_weight(current) is False


@pytest.mark.parametrize(
    "name",
    [
        "global_step",
        "discriminator_train/beta1_power",
        "generator_train/beta2_power",
        "generator_loss/Mean_1/ExponentialMovingAverage",
        "elsewhere/encoder_1/conv/filter",
        "generator/encoder_1/conv/filter/Momentum",
        "generator/encoder_1/conv/filter/Adam_2",
        "generator/encoder_1/dense/kernel",
    ],
)
def test_other_names_are_unchanged(name):
    assert variable_names.to_current(name) == variable_names.to_native(name) == name
    assert not variable_names.is_weight(name)
    assert not variable_names.is_moving_average(name)


@pytest.mark.parametrize("run", FIRST)
def test_names_of_the_first_generation(run):
    stored = stored_names(run)
    for name in stored:
        assert variable_names.to_native(name) == name
        assert variable_names.to_native(variable_names.to_current(name)) == name
    renamed = [name for name in stored if variable_names.to_current(name) != name]
    assert len(renamed) == len(set(map(variable_names.to_current, renamed))) > 100
    assert sum(name.endswith("/Adam") for name in renamed) == len(renamed) / 3


@pytest.mark.parametrize("run", CURRENT)
def test_names_of_the_current_generation(run):
    stored = [name for name in stored_names(run) if not variable_names.is_moving_average(name)]
    assert len(stored) < len(stored_names(run))
    native = list(map(variable_names.to_native, stored))
    assert len(set(native)) == len(native)
    assert list(map(variable_names.to_current, native)) == stored
    renamed = [name for name in stored if variable_names.to_native(name) != name]
    assert sum(name.endswith("/Adam_1") for name in renamed) == len(renamed) / 3
    words = {word for name in native for word in name.split("/")}
    assert not words & {"conv2d", "conv2d_transpose", "separable_conv2d", "batch_normalization"}
    assert not words & {"kernel", "gamma", "beta"}


def test_both_generations_have_the_same_weights_except_biases():
    first, current = (
        {
            name
            for name in map(variable_names.to_native, stored_names(run))
            if variable_names.is_weight(name)
        }
        for run in ("mini_seed_BtoA", "mini_current_AtoB")
    )
    assert {name for name in current - first if not name.endswith("/bias")} == set()
    assert first < current
    assert variable_names.bias(first) == "none"
    assert variable_names.bias(current) == "all"
    assert variable_names.bias(current - {"generator/decoder_1/deconv/bias"}) is None
    assert variable_names.bias(first | {"generator/decoder_1/deconv/bias"}) is None


# Finding


@pytest.fixture
def folder(tmp_path):
    """A copy of a recorded run's folder."""
    return Path(shutil.copytree(GOLDEN / RUNS[0] / "start", tmp_path / "run"))


def add(folder, step, index=True, data=True):
    """Another checkpoint of the same variables."""
    for name, is_copied in ((INDEX, index), (DATA, data)):
        if is_copied:
            shutil.copy(folder / name, folder / name.replace("-3", f"-{step}", 1))


def point_at(folder, path):
    (folder / "checkpoint").write_text(
        f'model_checkpoint_path: "{path}"\nall_model_checkpoint_paths: "elsewhere/model-1"\n'
    )


@pytest.mark.parametrize("run", RUNS)
def test_finds_a_run_of_the_reference(run):
    found = restore_checkpoint.find(GOLDEN / run / "start")
    assert found == restore_checkpoint.need(GOLDEN / run / "start")
    assert found.prefix == GOLDEN / run / "start" / "model-3"
    assert found.folder == GOLDEN / run / "start"
    assert found.step() == 3
    assert found.bias == ("all" if run in CURRENT else "none")
    assert found.separable == ("separable" in run)
    assert sorted(found.stored.values()) == sorted(
        name for name in stored_names(run) if not variable_names.is_moving_average(name)
    )
    assert found.shapes.keys() == found.stored.keys()
    assert all(variable_names.to_native(old) == name for name, old in found.stored.items())
    if "separable" not in run:
        assert found.shapes["generator/decoder_8/deconv/filter"] == [4, 4, 8, 8]


def test_the_checkpoint_file_names_it(folder):
    add(folder, 7)
    assert restore_checkpoint.find(folder).prefix == folder / "model-3"
    point_at(folder, "model-7")
    assert restore_checkpoint.find(folder).prefix == folder / "model-7"


@pytest.mark.parametrize("path", ["/gone/run/model-3", "gone/model-3"])
def test_moved_folder(folder, path):
    add(folder, 7)
    point_at(folder, path)
    assert restore_checkpoint.find(folder).prefix == folder / "model-3"


def test_path_of_another_folder(folder):
    inner = Path(shutil.copytree(folder, folder / "inner"))
    for path in ("inner/model-3", inner / "model-3"):
        point_at(folder, path)
        assert restore_checkpoint.find(folder).prefix == folder / "model-3"
    for name in (INDEX, DATA):
        (folder / name).unlink()
    for path in ("inner/model-3", inner / "model-3"):
        point_at(folder, path)
        assert restore_checkpoint.find(folder).prefix == inner / "model-3"


def test_absolute_path(folder):
    add(folder, 7)
    point_at(folder, folder / "model-3")
    assert restore_checkpoint.find(folder).prefix == folder / "model-3"


@pytest.mark.parametrize("path", ["model-5", "/gone/model-5", r"C:\\runs\\model-5", ""])
def test_checkpoint_file_that_names_a_missing_checkpoint(folder, path):
    add(folder, 2)
    point_at(folder, path)
    assert restore_checkpoint.find(folder).prefix == folder / "model-3"


def test_newest_without_checkpoint_file(folder):
    (folder / "checkpoint").unlink()
    for step in (9, 10, 8):
        add(folder, step)
    add(folder, 11, data=False)
    add(folder, 12, index=False)
    (folder / "model-best.index").write_bytes(b"")
    assert restore_checkpoint.find(folder).prefix == folder / "model-10"


def test_checkpoint_file_that_an_editor_has_saved_with_a_byte_order_mark(folder):
    add(folder, 7)
    state = folder / "checkpoint"
    state.write_text(state.read_text(), encoding="utf-8-sig")
    assert restore_checkpoint.find(folder).prefix == folder / "model-3"


def test_damaged_checkpoint_file(folder):
    (folder / "checkpoint").write_bytes(b"\xff\x00 nonsense")
    assert restore_checkpoint.find(folder).prefix == folder / "model-3"


def test_prefix_itself(folder):
    add(folder, 7)
    assert restore_checkpoint.find(folder / "model-7").prefix == folder / "model-7"
    assert restore_checkpoint.find(folder / "model-3").step() == 3
    assert restore_checkpoint.find(folder / "model-5") is None
    assert restore_checkpoint.find(folder / "model") is None


@pytest.mark.parametrize(
    ("name", "message"), [("run", "holds no checkpoint"), ("gone", "does not exist")]
)
def test_no_checkpoint(tmp_path, name, message):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "options.json").write_text("{}")
    path = tmp_path / name
    assert restore_checkpoint.find(path) is None
    with pytest.raises(UserError) as caught:
        restore_checkpoint.need(path)
    assert str(caught.value).startswith(f"checkpoint {path} {message}: ")


def test_data_that_a_kill_left_are_no_checkpoint(folder):
    (folder / "checkpoint").unlink()
    (folder / INDEX).unlink()
    assert restore_checkpoint.find(folder) is None
    assert restore_checkpoint.find(folder / "model-3") is None


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ([DATA], "has lost its .data file"),
        ([DATA, "checkpoint"], "has lost its .data file"),
        ([INDEX], "has lost its .index file"),
        ([INDEX, DATA], "has lost its files"),
    ],
)
def test_a_checkpoint_that_has_lost_files_is_refused(folder, lost, message):
    for name in lost:
        (folder / name).unlink()
    with pytest.raises(UserError, match=f"checkpoint {folder}/model-3 {message}: put back"):
        restore_checkpoint.find(folder)


@pytest.mark.parametrize("lost", [[DATA], [INDEX]], ids=str)
def test_an_earlier_checkpoint_does_not_stand_in_for_one_that_has_lost_files(folder, lost):
    for name in (INDEX, DATA):
        shutil.copy(folder / name, folder / name.replace("model-3", "model-2"))
    for name in lost:
        (folder / name).unlink()
    with pytest.raises(UserError, match=f"checkpoint {folder}/model-3 has lost its .*: put back"):
        restore_checkpoint.find(folder)
    (folder / "checkpoint").unlink()  # as the message says
    found = restore_checkpoint.find(folder)
    assert found.prefix == folder / "model-2"


def test_a_pict_file_is_no_checkpoint(tmp_path):
    (tmp_path / "a.pict").write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.pict is a \.pict file: .* --to native"):
        restore_checkpoint.need(tmp_path / "a.pict")


def test_a_later_checkpoint_replaces_the_named_one(folder):
    """Training may write a later one, and remove this one, after the file was read."""
    for name in (INDEX, DATA):
        (folder / name).rename(folder / name.replace("model-3", "model-4"))
    assert restore_checkpoint.find(folder).prefix == folder / "model-4"
    (folder / DATA).write_bytes(b"not yet removed")
    assert restore_checkpoint.find(folder).prefix == folder / "model-4"


def test_without_global_step():
    assert restore_checkpoint.Checkpoint(Path("model-3"), {}, {}, {}).step() == 0


# Restoring


def make_variables(shapes):
    return [
        tf.get_variable(
            name,
            shape,
            tf.int64 if name == "global_step" else tf.float32,
            initializer=tf.zeros_initializer(),
        )
        for name, shape in shapes.items()
    ]


def restore(found):
    """Restores all weights; returns them by native name."""
    shapes = {name: shape for name, shape in found.shapes.items() if variable_names.is_weight(name)}
    with tf.Graph().as_default(), tf.Session() as session:
        variables = make_variables(shapes)
        found.restorer(variables)(session)
        values = session.run(variables)
    return dict(zip(shapes, values, strict=True))


@pytest.mark.parametrize("run", RUNS)
def test_restores_both_generations(run):
    found = restore_checkpoint.find(GOLDEN / run / "start")
    reader = tf.train.load_checkpoint(str(found.prefix))
    for name, value in restore(found).items():
        np.testing.assert_array_equal(value, reader.get_tensor(found.stored[name]))


def refusal(run, shapes):
    """The message for a model of these variables; `check` and `restorer` raise the same."""
    found = restore_checkpoint.find(GOLDEN / run / "start")
    with tf.Graph().as_default():
        variables = make_variables(shapes)
        with pytest.raises(UserError) as caught:
            found.check(variables)
        with pytest.raises(UserError) as again:
            found.restorer(variables)
    assert str(caught.value) == str(again.value)
    assert str(found.prefix) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_variables_are_named():
    present = {"generator/encoder_1/conv/filter": [4, 4, 3, 1]}
    assert refusal(RUNS[0], present | {"b": [1]}).endswith("lacks b")
    many = {name: [1] for name in "edcba"}
    assert refusal(RUNS[0], present | many).endswith("lacks a, b, c and 2 more")


@pytest.mark.parametrize("run", ["mini_seed_BtoA", "mini_current_AtoB"])
def test_wrong_shapes_are_named(run):
    name = "generator/encoder_1/conv/filter"
    assert refusal(run, {name: [4, 4, 3, 64]}).endswith(
        f"has other shapes: {name} (expected [4, 4, 3, 64], found [4, 4, 3, 1])"
    )
    many = {f"generator/encoder_{i}/conv/filter": [4, 4, 5, 64] for i in range(1, 8)}
    message = refusal(run, many)
    assert message.count("expected") == 3
    assert message.endswith(" and 4 more")


def test_check_accepts_matching_variables():
    found = restore_checkpoint.find(GOLDEN / RUNS[2] / "start")
    shapes = dict(list(found.shapes.items())[:20])
    with tf.Graph().as_default():
        found.check(make_variables(shapes))


def write_tensors(folder, arrays, step):
    """Writes a checkpoint model-STEP with arrays under any names, without this package."""
    folder.mkdir(exist_ok=True)
    with tf.Graph().as_default(), tf.Session() as session:
        save = tf.raw_ops.SaveV2(
            prefix=str(folder / f"model-{step}"),
            tensor_names=list(arrays),
            shape_and_slices=[""] * len(arrays),
            tensors=[tf.constant(array) for array in arrays.values()],
        )
        session.run(save)


def test_other_types_are_named(tmp_path):
    write_tensors(tmp_path, {"a": np.zeros(2, np.float64), "b": np.zeros(2, np.float32)}, 1)
    with tf.Graph().as_default(), pytest.raises(UserError) as caught:
        restore_checkpoint.find(tmp_path).check(make_variables({"a": [2], "b": [2]}))
    assert str(caught.value).endswith("has other types: a (expected float32, found float64)")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    arrays = {name: np.ones(3, np.float32) for name in "ab"}
    arrays["b"][1] = value
    write_tensors(tmp_path, arrays, 1)
    found = restore_checkpoint.find(tmp_path)
    with tf.Graph().as_default(), tf.Session() as session:
        restore = found.restorer(make_variables({"a": [3], "b": [3]}))
        with pytest.raises(UserError, match="model-1 holds infinite values or NaN in b: "):
            restore(session)
    assert found.read(["a"])["a"].tolist() == [1, 1, 1]
    with pytest.raises(UserError, match="NaN in b: "):
        found.read(["a", "b"])


@pytest.mark.parametrize(
    "step",
    [np.int64(-1), np.arange(2), np.float32(3), np.bool_(True), np.array(["3"], object)],
    ids=["negative", "vector", "float", "bool", "string"],
)
def test_a_global_step_that_is_none(tmp_path, step):
    write_tensors(tmp_path, {"global_step": step}, 1)
    with pytest.raises(UserError, match="global_step must be a whole number"):
        restore_checkpoint.find(tmp_path).step()


@pytest.mark.parametrize("name", [*("a[1]", "a]", "a*b", "what?", "back\\slash", "**"), NO_UTF8])
def test_folders_that_look_like_patterns(tmp_path, name):
    """TensorFlow takes these characters in a prefix for a pattern, or takes no bytes but UTF-8."""
    arrays = {"a": np.arange(3, dtype=np.float32), "global_step": np.int64(7)}
    write_tensors(tmp_path / "plain", arrays, 7)
    (tmp_path / "plain").rename(tmp_path / name)
    found = restore_checkpoint.find(tmp_path / name)
    assert found.prefix == tmp_path / name / "model-7"
    assert found.step() == 7
    with tf.Graph().as_default(), tf.Session() as session:
        variables = make_variables({"a": [3]})
        found.restorer(variables)(session)
        assert session.run(variables[0]).tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["**", "[", "../..", "\0", "a" * 300, "", "/", "model-*"])
def test_a_checkpoint_file_that_names_nonsense(folder, name):
    point_at(folder, name)
    assert restore_checkpoint.find(folder).prefix == folder / "model-3"


def test_a_checkpoint_file_that_is_a_fifo(folder):
    (folder / "checkpoint").unlink(missing_ok=True)
    os.mkfifo(folder / "checkpoint")
    with pytest.raises(UserError, match="checkpoint is a FIFO, not a regular file"):
        restore_checkpoint.find(folder)


DAMAGE = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[: len(data) // 2],
    "its last byte lost": lambda data: data[:-1],
    "other bytes": lambda data: bytes(byte ^ 255 for byte in data),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", [INDEX, DATA])
def test_damaged_checkpoint(folder, name, damage):
    (folder / name).write_bytes(DAMAGE[damage]((folder / name).read_bytes()))

    def use():
        found = restore_checkpoint.find(folder)
        found.step()
        restore(found)

    with pytest.raises(UserError) as caught:
        use()
    assert f"checkpoint {folder / 'model-3'} cannot be read: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["empty", "cut off", "other bytes"])
def test_damage_found_by_restoring_has_a_reason(folder, damage):
    found = restore_checkpoint.find(folder)
    (folder / DATA).write_bytes(DAMAGE[damage]((folder / DATA).read_bytes()))
    with pytest.raises(UserError) as caught:
        restore(found)
    reason = str(caught.value).partition(" cannot be read: ")[2]
    assert reason
    assert not reason.startswith("Graph execution error")


# Saving


class Run:
    """A model of one variable whose value is the step."""

    def __init__(self, folder, size=100):
        self.folder = folder
        self._value = tf.get_variable("generator/encoder_1/conv/filter", [size])
        self._step = tf.train.get_or_create_global_step()
        self._saver = tf.train.Saver()
        self.session = tf.Session()

    def save(self, step):
        self._value.load(np.full(self._value.shape, step, np.float32), self.session)
        self._step.load(step, self.session)
        return save_checkpoint.save(self._saver, self.session, self.folder, step)

    def files(self):
        return sorted(path.name for path in self.folder.iterdir())

    def saved(self):
        """The step of the checkpoint that is found; checks that it can be read."""
        found = restore_checkpoint.find(self.folder)
        [value] = set(restore(found)["generator/encoder_1/conv/filter"])
        assert found.prefix == self.folder / f"model-{value:.0f}"
        assert found.step() == value
        return int(value)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with tf.Graph().as_default():
        run = Run(folder)
        with run.session:
            yield run


def files_of(step):
    return ["checkpoint", f"model-{step}.data-00000-of-00001", f"model-{step}.index"]


def test_save(run):
    assert run.save(3) == run.folder / "model-3"
    assert run.files() == files_of(3)
    assert run.saved() == 3
    assert tf.train.latest_checkpoint(str(run.folder)) == str(run.folder / "model-3")


def test_save_removes_the_previous_checkpoint(run):
    for step in (9, 10, 100):
        run.save(step)
        assert run.files() == files_of(step)
        assert run.saved() == step


def test_save_again(run):
    run.save(3)
    run.save(3)
    assert run.files() == files_of(3)
    assert run.saved() == 3


def test_save_leaves_other_files_alone(run):
    others = ["options.json", "model-notes.txt", "model-3", "mymodel-3.index", "model-x.index"]
    others += ["model-2.h5", "model-2.png", "model-2.index.txt"]
    for name in others:
        (run.folder / name).write_text("mine")
    (run.folder / "images").mkdir()
    run.save(3)
    run.save(4)
    assert run.files() == sorted([*others, "images", *files_of(4)])
    assert run.saved() == 4


def test_the_checkpoint_file_has_no_absolute_path(run):
    run.save(3)
    assert (run.folder / "checkpoint").read_text() == (
        'model_checkpoint_path: "model-3"\nall_model_checkpoint_paths: "model-3"\n'
    )
    moved = run.folder.rename(run.folder.with_name("moved"))
    assert restore_checkpoint.find(moved).prefix == moved / "model-3"


def failure(run, step):
    with pytest.raises(UserError) as caught:
        run.save(step)
    message = str(caught.value)
    assert message.startswith(f"checkpoint {run.folder / f'model-{step}'} cannot be written (")
    assert "\n" not in message
    return message


@pytest.fixture
def limit():
    """Limits the size of files: longer writes fail as on a full disk."""
    resource = pytest.importorskip("resource", reason="a limit for files needs Unix")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def set_limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield set_limit
    set_limit(None)


def test_full_disk(run, limit):
    run.save(3)
    limit(200)  # the data take 400 bytes
    message = failure(run, 7)
    limit(None)
    assert "(model-3 there is intact)" in message
    assert run.files() == files_of(3)
    assert run.saved() == 3
    run.save(8)
    assert run.files() == files_of(8)


def test_full_disk_at_the_first_checkpoint(run, limit):
    limit(200)
    assert "(none is saved there yet)" in failure(run, 7)
    assert run.files() == []


def test_save_to_a_removed_folder(run):
    run.folder.rmdir()
    message = failure(run, 7)
    assert "none is saved there yet" in message


@pytest.mark.parametrize("name", ["model-7.index", "model-7.data-00000-of-00001", "checkpoint"])
def test_failure_while_renaming(run, name):
    run.save(3)
    (run.folder / name).unlink(missing_ok=True)
    (run.folder / name).mkdir()  # no file can be renamed to a folder
    message = failure(run, 7)
    assert " there is intact)" in message
    assert not (run.folder / ".unfinished").exists()
    intact = run.saved()
    assert intact == (7 if name == "checkpoint" else 3)
    assert f"(model-{intact} there" in message
    (run.folder / name).rmdir()
    if intact == 3:
        assert [path for path in run.files() if path.startswith("model-")] == files_of(3)[1:]
    run.save(8)
    assert run.files() == files_of(8)
    assert run.saved() == 8


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo])
def test_a_file_in_the_place_of_the_temporary_folder_is_removed(run, make):
    make(run.folder / ".unfinished")
    run.save(3)
    assert run.saved() == 3
    assert not (run.folder / ".unfinished").exists()


def cut_off(run, step, done):
    """Leaves a folder as if the program had been killed while saving, after some renames.

    Args:
      run: a run with a previous checkpoint.
      step: of the interrupted checkpoint.
      done: how many of data, index and `checkpoint` have been renamed.
    """
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    with mock.patch.object(save_checkpoint, "_remove_replaced"):  # which comes after the renames
        run.save(step)
    after = {name: (run.folder / name).read_bytes() for name in files_of(step)}
    temporary = run.folder / ".unfinished"
    temporary.mkdir()
    for name, data in before.items():
        (run.folder / name).write_bytes(data)
    state, data, index = files_of(step)
    for i, name in enumerate((data, index, state)):
        if name != state:
            (run.folder / name).unlink()
        ((run.folder if i < done else temporary) / name).write_bytes(after[name])


@pytest.mark.parametrize(("done", "found"), [(0, 3), (1, 3), (2, 3), (3, 7)])
def test_killed_while_saving(run, done, found):
    run.save(3)
    cut_off(run, 7, done)
    assert (run.folder / INDEX).exists()
    assert run.saved() == found
    run.save(8)
    assert run.files() == files_of(8)
    assert run.saved() == 8
