"""tools/evaluate.py: figures of images on disk, what it writes, and what it refuses."""

import contextlib
import csv
import html
import io
import json
import re
import shutil
import subprocess
import sys
import urllib.parse

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from p2p_graph.cli import evaluate as evaluate_program
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import save_options
from p2p_graph.imaging.palettes import FACADES

from .common import ROOT, assert_refused, call, pixels, run, script, succeeded

# From little noise to much; some names need quoting in a page.
NOISE = {"a": 6, "b_leftImg8bit": 12, "c #1 & 2%": 20, "d": 30, "e": 45, "f": 60, "ü": 80}
FIGURES = ("l1", "psnr", "ssim", "histogram_l", "histogram_a", "histogram_b")
LABEL_FIGURES = ("pixel_accuracy", "class_accuracy", "class_iou")
TWO = np.uint8([[200, 30, 40], [20, 40, 210], [0, 0, 0]])  # two classes and what is ignored
TWO_CSV = "class,red,green,blue\nred,200,30,40\nblue,20,40,210\n,0,0,0\n"
# Gives class 1 where an image is bright.
SEGMENTER = "def classes(image):\n    return (image.mean(2) > 127).astype('int32')\n"


def tree(folder):
    """Every file below a folder with its contents, except those that an import leaves."""
    found = (p for p in folder.rglob("*") if "__pycache__" not in p.parts)
    return {p: p.read_bytes() if p.is_file() else None for p in found}


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def write_results(folder, images):
    """Writes images, by name and kind, as tools/test.py does."""
    for name, kinds in images.items():
        for kind, values in kinds.items():
            write(folder / "images" / f"{name}-{kind}.png", values)
    return folder


def draw():
    """Images of 16x14 pixels by name and kind: outputs are noisy targets, inputs are noise."""
    rng = np.random.default_rng(3)
    made = {}
    for name, spread in NOISE.items():
        target = rng.integers(40, 216, 3) + rng.normal(0, 12, (14, 16, 3))
        output = target + rng.normal(0, spread, target.shape)
        values = (rng.integers(0, 256, target.shape), output, target)
        kinds = zip(("inputs", "outputs", "targets"), values, strict=True)
        made[name] = {kind: np.uint8(np.clip(v, 0, 255)) for kind, v in kinds}
    return made


def label_ids(count=5, size=(14, 16), classes=3):
    """Predicted ids, with mistakes, and true ids in patches of 2x2 pixels; the last is no class."""
    rng = np.random.default_rng(4)
    half = (count, size[0] // 2, size[1] // 2)
    truth = rng.integers(0, classes, half)
    wrong = rng.random(half) < np.linspace(0.1, 0.6, count)[:, None, None]
    made = np.where(wrong, rng.integers(0, classes, half), truth)
    return [ids.repeat(2, 1).repeat(2, 2) for ids in (made, truth)]


def scores(predicted, truth, classes):
    """Scores by Cityscapes' definitions, over the classes that the truth has."""
    counted = truth < classes
    predicted, truth = predicted[counted], truth[counted]
    present = [c for c in range(classes) if (truth == c).any()]
    hits = {c: ((predicted == c) & (truth == c)).sum() for c in present}
    either = {c: ((predicted == c) | (truth == c)).sum() for c in present}
    return [
        (predicted == truth).mean(),
        np.mean([hits[c] / (truth == c).sum() for c in present]),
        np.mean([hits[c] / either[c] for c in present]),
    ]


def record(folder):
    """Reads evaluation.json, which must be strict JSON: no NaN, no Infinity."""
    text = (folder / "evaluation.json").read_text(encoding="utf-8")
    return json.loads(text, parse_constant=pytest.fail)


def values(folder):
    return {name: figure["value"] for name, figure in record(folder)["figures"].items()}


def rows_of_csv(folder):
    with (folder / "images.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table(done):
    """Reads the printed table: value and interval by figure."""
    lines = done.stdout.splitlines()
    first = lines.index("| metric | value | 95% of samples |") + 2
    found = (line.strip("|").split("|") for line in lines[first:] if line.startswith("|"))
    return {name.strip(): (value.strip(), within.strip()) for name, value, within in found}


def rows_of_page(folder):
    """Reads index.html: by name the images' paths on disk, or None, and the values as shown."""
    text = (folder / "index.html").read_text(encoding="utf-8")
    found = {}
    for row in re.findall('<tr id="image-.*?</pre></td></tr>', text, re.DOTALL):
        images, _, figures = row.partition('<td class="figures">')
        sources = [re.search('src="(.*?)"', cell) for cell in re.findall("<td .*?</td>", images)]
        paths = [
            folder / urllib.parse.unquote(html.unescape(source[1])) if source else None
            for source in sources
        ]
        name = html.unescape(re.search('<th scope="row">(.*?)</th>', images)[1])
        lines = [
            line.split()
            for line in re.search("<pre>(.*)</pre>", figures, re.DOTALL)[1].splitlines()
        ]
        found[name] = paths, [value for line in lines[1:] if line[0] != "A" for value in line[1:]]
    return found


def extremes_of_page(folder):
    """Reads the links of index.html: by figure, the names of the worst and best images."""
    text = (folder / "index.html").read_text(encoding="utf-8")
    ids = re.findall('<tr id="(.*?)".*?><th scope="row">(.*?)</th>', text)
    names = {f"#{row}": html.unescape(name) for row, name in ids}
    found = {}
    for figure, row in re.findall('<tr><th scope="row">(.*?)</th>(<td>.*?)</tr>', text):
        ends = [re.findall('href="(.*?)"', cell) for cell in re.findall("<td>(.*?)</td>", row)[-2:]]
        if ends[0]:
            found[figure] = [[names[link] for link in end] for end in ends]
    return found


def reference_figures(outputs, targets):
    """The figures of a set of images, by scikit-image."""
    pairs = list(zip(outputs, targets, strict=True))
    how = {"data_range": 255, "channel_axis": 2, "gaussian_weights": True, "sigma": 1.5}
    shares = []
    for images in (outputs, targets):
        lab = rgb2lab(np.concatenate(images)).reshape(-1, 3)
        bins = [np.arange(101), np.arange(-128, 129), np.arange(-128, 129)]
        counts = [np.histogram(v, b)[0] / len(v) for v, b in zip(lab.T, bins, strict=True)]
        shares.append(counts)
    common = [np.minimum(*channel).sum() for channel in zip(*shares, strict=True)]
    return {
        "l1": np.mean([abs(a / 127.5 - b / 127.5).mean() for a, b in pairs]),
        "psnr": np.mean([peak_signal_noise_ratio(b, a, data_range=255) for a, b in pairs]),
        "ssim": np.mean(
            [structural_similarity(a, b, use_sample_covariance=False, **how) for a, b in pairs]
        ),
        **dict(zip(FIGURES[3:], common, strict=True)),
    }


def assert_figures(found, wanted):
    for name, value in wanted.items():
        # Scikit-image's white differs a little, which moves pixels to the next bin.
        wide = 0.03 if name.startswith("histogram") else 1e-9
        assert found[name] == pytest.approx(value, rel=1e-9, abs=wide), name


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path / "results", draw())


@pytest.fixture
def two(tmp_path):
    """Writes two folders of images; gives the flags that name the folders."""
    for name, kinds in draw().items():
        for kind in ("outputs", "targets"):
            write(tmp_path / kind / f"{name}.png", kinds[kind])
    return "--outputs_dir", tmp_path / "outputs", "--targets_dir", tmp_path / "targets"


@pytest.fixture
def labelled(tmp_path):
    """Writes label images in the colours of mine.csv as outputs and targets; gives the ids."""
    (tmp_path / "mine.csv").write_text(TWO_CSV)
    made, truth = label_ids()
    images = {
        f"{n}": {"outputs": TWO[ids[0]], "targets": TWO[ids[1]]}
        for n, ids in enumerate(zip(made, truth, strict=True))
    }
    write_results(tmp_path / "results", images)
    return made, truth


@pytest.fixture
def segmented(tmp_path):
    """Writes images that are bright where the class is 1, and their labels; gives the ids.

    Outputs and targets have different mistakes: no segmenter is perfect.
    """
    (tmp_path / "mine.csv").write_text(TWO_CSV)
    made, truth = label_ids()
    real = np.where(np.arange(14)[:, None] < 13, truth, 1 - truth)
    images = {}
    for n, ids in enumerate(zip(made, real, truth, strict=True)):
        photos = [np.repeat((60 + 130 * (i == 1))[..., None], 3, 2) for i in ids[:2]]
        images[f"{n}"] = {"outputs": photos[0], "targets": photos[1], "inputs": TWO[ids[2]]}
    write_results(tmp_path / "results", images)
    return np.int64(made == 1), np.int64(real == 1), truth


@pytest.fixture
def refused(tmp_path):
    """A function that runs the tool, and checks that one line says why nothing was written."""

    def check(*flags, expected, listed=()):
        before = tree(tmp_path)
        done = call("evaluate", *flags, cwd=tmp_path)
        assert tree(tmp_path) == before
        first, _, rest = done.stderr.partition("\n")
        assert rest.splitlines() == [f"  {line}" for line in listed]
        done.stderr = f"{first}\n"
        assert_refused(done, *expected)
        return done

    return check


def test_what_the_translation_wrote(results, tmp_path):
    """The tool in its own process: the table, and all the files."""
    done = succeeded(run("evaluate", "--results_dir", "results", cwd=tmp_path))
    out = results / "evaluation"
    images = list(draw().values())
    wanted = reference_figures([p["outputs"] for p in images], [p["targets"] for p in images])
    found = record(out)
    assert found["images"] == len(NOISE)
    assert found["outputs"] == "results"
    assert found["bootstrap"] == {"repetitions": 1000, "seed": 0}
    assert tuple(found["figures"]) == FIGURES
    assert_figures(values(out), wanted)
    shown = table(done)
    assert tuple(shown) == FIGURES
    for name, figure in found["figures"].items():
        low, high = figure["interval_95"]
        assert low < high
        assert low <= figure["value"] <= high or name.startswith("histogram")
        assert shown[name] == (f"{figure['value']:.4g}", f"{low:.4g} to {high:.4g}")
    assert done.stdout.splitlines()[-1] == "wrote results/evaluation/index.html"
    assert sorted(p.name for p in out.iterdir()) == [
        *("evaluation.json", "images", "images.csv", "index.html")
    ]


def test_figures_per_image(results):
    succeeded(call("evaluate", "--results_dir", results))
    rows = rows_of_csv(results / "evaluation")
    assert [row["name"] for row in rows] == sorted(NOISE)
    for row in rows:
        made = draw()[row.pop("name")]
        assert tuple(row) == FIGURES
        wanted = reference_figures([made["outputs"]], [made["targets"]])
        assert_figures({name: float(value) for name, value in row.items()}, wanted)


def test_worst_and_best_images(results):
    """Images differ by noise: the page names those with the most and the least noise."""
    succeeded(call("evaluate", "--results_dir", results, "--metrics", "l1,psnr"))
    out = results / "evaluation"
    names = list(NOISE)
    ends = [names[:-4:-1], names[:3]]
    assert extremes_of_page(out) == {"l1": ends, "psnr": ends}
    rows = rows_of_page(out)
    assert list(rows) == names[::-1]  # the worst first
    figures = {row["name"]: row for row in rows_of_csv(out)}
    for name, (paths, shown) in rows.items():
        assert shown == [f"{float(figures[name][metric]):.4g}" for metric in ("l1", "psnr")]
        for path, kind in zip(paths, ("inputs", "outputs", "targets"), strict=True):
            # Copies of the worst and the best: the others are where they were.
            folder = out if name in (*ends[0], *ends[1]) else out / ".."
            assert path.parent == folder / "images"
            np.testing.assert_array_equal(pixels(path), draw()[name][kind])


def test_the_report_is_on_disk_before_the_table_is_printed(results, tmp_path):
    """So that nothing is lost where nobody reads the table."""
    found = []

    class Reader(io.StringIO):
        def write(self, text):
            found.append({path.name for path in (tmp_path / "report").glob("*.*")})
            return len(text)

    with contextlib.redirect_stdout(Reader()):
        evaluate_program.main(["--results_dir", str(results), "--output_dir", f"{tmp_path}/report"])
    assert found
    assert all(names == {"evaluation.json", "images.csv", "index.html"} for names in found)


def test_few_images_are_shown_once(results):
    for name in list(NOISE)[4:]:
        for path in (results / "images").glob(f"{name}-*"):
            path.unlink()
    succeeded(call("evaluate", "--results_dir", results, "--metrics", "l1"))
    assert extremes_of_page(results / "evaluation") == {"l1": [list(NOISE)[3:0:-1], ["a"]]}
    assert list(rows_of_page(results / "evaluation")) == list(NOISE)[3::-1]


def test_images_shown_before_are_removed(results, tmp_path):
    """Other files in the folder stay."""
    out = tmp_path / "out"
    flags = ("--results_dir", results, "--output_dir", out, "--metrics")
    succeeded(call("evaluate", *flags, "l1"))
    (out / "images" / "mine.png").write_bytes(b"of another program")
    (out / "images" / "gone-output.png").write_bytes(b"shown before")
    succeeded(call("evaluate", *flags, "psnr"))
    assert (out / "images" / "mine.png").read_bytes() == b"of another program"
    assert not (out / "images" / "gone-output.png").exists()


def test_two_folders(two, tmp_path):
    done = succeeded(call("evaluate", *two))
    images = list(draw().values())
    wanted = reference_figures([p["outputs"] for p in images], [p["targets"] for p in images])
    out = tmp_path / "outputs-evaluation"
    assert_figures(values(out), wanted)
    assert tuple(table(done)) == FIGURES
    assert record(out)["outputs"] == str(tmp_path / "outputs")
    rows = rows_of_page(out)
    assert sorted(rows) == sorted(NOISE)
    for (source, output, target), _ in rows.values():
        assert source is None
        assert output.is_file()
        assert target.is_file()


def test_three_folders_of_other_forms(two, tmp_path):
    """JPEG and grey images: the names decide which images belong together."""
    for name, kinds in draw().items():
        write(tmp_path / "mine" / f"{name}.JPG", kinds["inputs"])
        write(tmp_path / "targets" / f"{name}.png", kinds["targets"][..., 0])
    flags = ("--inputs_dir", tmp_path / "mine", "--metrics", "l1", "--output_dir", tmp_path / "out")
    succeeded(call("evaluate", *two, *flags))
    apart = [p["outputs"] / 127.5 - p["targets"][..., :1] / 127.5 for p in draw().values()]
    assert values(tmp_path / "out") == {"l1": pytest.approx(np.abs(apart).mean())}
    name, ([path, *_], _) = next(iter(rows_of_page(tmp_path / "out").items()))
    assert path.read_bytes() == (tmp_path / "mine" / f"{name}.JPG").read_bytes()
    assert not (tmp_path / "outputs-evaluation").exists()


@pytest.fixture
def other(results, tmp_path):
    """Another translation of three of the images, and of one more; its noise is half as much."""
    made = draw()
    for kinds in made.values():
        apart = kinds["outputs"].astype(int) - kinds["targets"]
        kinds["outputs"] = kinds["targets"] + apart // 2
    chosen = {name: made[name] for name in ("a", "d", "ü")}
    return write_results(tmp_path / "other", {**chosen, "more": made["f"]})


def test_a_comparison(results, other, tmp_path):
    flags = ("--results_dir", "results", "--compare_dir", "other", "--metrics", "l1,psnr")
    done = succeeded(call("evaluate", *flags, cwd=tmp_path))
    out = results / "comparison"
    found, names = record(out), ["ü", "d", "a"]
    assert not (results / "evaluation").exists()
    assert found["images"] == 3
    assert found["notes"] == [
        "4 images of results left out: the other folder lacks them",
        "1 image of other left out: the other folder lacks them",
    ]
    images = {folder: [pixels(folder / "images" / f"{n}-outputs.png") for n in names]
              for folder in (results, other)}  # fmt: skip
    targets = [draw()[name]["targets"] for name in names]
    wanted = [reference_figures(images[folder], targets) for folder in (results, other)]
    for name in ("l1", "psnr"):
        figure = found["comparison"]["figures"][name]
        assert values(out)[name] == pytest.approx(wanted[0][name])
        assert figure["value"] == pytest.approx(wanted[1][name])
        assert figure["difference"] == pytest.approx(wanted[0][name] - wanted[1][name])
        low, high = figure["difference_interval_95"]
        assert low < figure["difference"] < high
    assert "| metric | A | B | A - B | 95% of samples of A - B |" in done.stdout
    rows = rows_of_csv(out)
    assert [row["name"] for row in rows] == names[::-1]
    assert tuple(rows[0]) == ("name", "l1", "psnr", "l1_b", "psnr_b")
    assert all(float(row["l1"]) > float(row["l1_b"]) for row in rows)
    page = rows_of_page(out)
    assert list(page) == names  # the largest difference first
    assert extremes_of_page(out)["l1"] == [names, []]
    for row in rows:
        paths, shown = page[row["name"]]
        kinds = ("inputs", "outputs", "outputs", "targets")
        for path, folder, kind in zip(paths, (results, results, other, other), kinds, strict=True):
            source = folder / "images" / f"{row['name']}-{kind}.png"
            assert path.read_bytes() == source.read_bytes()
        numbers = [float(row[column]) for column in ("l1", "l1_b")]
        assert shown[:3] == [
            *(f"{number:.4g}" for number in numbers),
            f"{numbers[0] - numbers[1]:+.2g}",
        ]


def test_the_samples_of_a_comparison_are_of_the_same_images(results, tmp_path):
    """Two equal translations differ by nothing in every sample."""
    shutil.copytree(results, tmp_path / "other")
    flags = ("--results_dir", results, "--compare_dir", tmp_path / "other")
    succeeded(call("evaluate", *flags))
    for figure in record(results / "comparison")["comparison"]["figures"].values():
        assert figure["difference"] == 0
        assert figure["difference_interval_95"] == [0, 0]


def test_two_folders_of_outputs_are_compared(two, tmp_path):
    shutil.copytree(tmp_path / "outputs", tmp_path / "second")
    succeeded(call("evaluate", *two, "--compare_dir", tmp_path / "second", "--metrics", "l1"))
    assert record(tmp_path / "outputs-comparison")["comparison"]["figures"]["l1"]["difference"] == 0


@pytest.mark.parametrize("has_options", [True, False])
@pytest.mark.parametrize("flags", [("run",), ("results", "--compare_dir", "run")])
def test_training_images_are_no_translation(refused, results, tmp_path, flags, has_options):
    """They are of many steps of training, and lie where a translation's would."""
    write_results(tmp_path / "run", draw())
    if has_options:
        save_options(Options.of(), tmp_path / "run")
    else:
        for end in ("index", "data-00000-of-00001"):
            (tmp_path / "run" / f"model-8.{end}").write_bytes(b"")
    expected = f"{'compare' if len(flags) > 1 else 'results'}_dir run is a training run"
    refused("--results_dir", *flags, expected=[expected])


def test_folders_that_cannot_be_compared(refused, results, other, tmp_path):
    flags = ("--results_dir", "results", "--compare_dir")
    refused(*flags, "nowhere", expected=["compare_dir nowhere does not exist"])
    refused(*flags, "other/images", expected=["compare_dir other/images has no folder images"])
    refused(*flags, "results/.", expected=["compare_dir results is the folder that is evaluated"])
    write_results(tmp_path / "apart", {"z": draw()["a"]})
    words = "compare_dir apart has no image of the same name as one in results"
    refused(*flags, "apart", expected=[words])
    larger = {kind: np.repeat(image, 2, 0) for kind, image in draw()["a"].items()}
    write_results(tmp_path / "larger", {"a": larger})
    words = "compare_dir larger: its image a is 16x28 pixels, and that of the other folder 16x14"
    refused(*flags, "larger", expected=[words])
    write_results(tmp_path / "turned", {"a": {**draw()["a"], "targets": draw()["a"]["inputs"]}})
    words = "compare_dir turned: its target of image a is another one"
    refused(*flags, "turned", expected=[words])
    (other / "images" / "d-outputs.png").write_bytes(b"no image")
    refused(
        *flags,
        "other",
        expected=["1 image cannot be evaluated"],
        listed=["other/images/d-outputs.png: is not an image"],
    )


def test_equal_images(results):
    """Their PSNR is infinite, which JSON does not have."""
    for name in NOISE:
        shutil.copy(
            results / "images" / f"{name}-targets.png", results / "images" / f"{name}-outputs.png"
        )
    done = succeeded(call("evaluate", "--results_dir", results))
    out = results / "evaluation"
    wanted = {"l1": 0, "psnr": None, **dict.fromkeys(FIGURES[2:], pytest.approx(1))}
    assert values(out) == wanted
    assert record(out)["figures"]["psnr"] == {"value": None, "interval_95": None}
    assert record(out)["figures"]["l1"] == {"value": 0, "interval_95": [0, 0]}
    assert table(done)["psnr"] == ("inf", "")
    assert record(out)["notes"] == ["psnr is infinite: an image equals its target"]
    assert {row["psnr"] for row in rows_of_csv(out)} == {"inf"}


def test_one_equal_image(results):
    images = results / "images"
    shutil.copy(images / "d-targets.png", images / "d-outputs.png")
    succeeded(call("evaluate", "--results_dir", results, "--metrics", "psnr,l1"))
    out = results / "evaluation"
    assert record(out)["figures"]["psnr"] == {"value": None, "interval_95": None}
    assert record(out)["figures"]["l1"]["interval_95"] is not None
    assert {name: best[0] for name, (_, best) in extremes_of_page(out).items()} == {
        "psnr": "d",
        "l1": "d",
    }
    assert rows_of_page(out)["d"][1] == ["inf", "0"]


def test_one_image(tmp_path):
    write_results(tmp_path, {"a": draw()["a"]})
    succeeded(call("evaluate", "--results_dir", tmp_path))
    for figure in record(tmp_path / "evaluation")["figures"].values():
        assert figure["interval_95"] is None


@pytest.mark.parametrize("names", ["ssim", "psnr,l1", "histogram, l1,l1"])
def test_some_metrics(results, names):
    done = succeeded(call("evaluate", "--results_dir", results, "--metrics", names))
    wanted = {
        "ssim": ("ssim",),
        "psnr,l1": ("psnr", "l1"),
        "histogram, l1,l1": (*FIGURES[3:], "l1"),
    }[names]
    out = results / "evaluation"
    assert tuple(values(out)) == wanted
    assert tuple(table(done)) == wanted
    assert tuple(rows_of_csv(out)[0]) == ("name", *wanted)
    assert set(extremes_of_page(out)) <= set(wanted)


def test_intervals_are_drawn_by_seed(results, tmp_path):
    def figures(name, *flags):
        fixed = ("--results_dir", results, "--metrics", "l1,psnr", "--output_dir", tmp_path / name)
        done = succeeded(call("evaluate", *fixed, *flags))
        return done, record(tmp_path / name)["figures"]

    first, again, other = (
        figures(name, "--seed", seed)[1] for name, seed in (("1", 0), ("2", 0), ("3", 9))
    )
    assert first == again
    for name in ("l1", "psnr"):
        assert first[name]["value"] == other[name]["value"]
        assert first[name]["interval_95"] != other[name]["interval_95"]
    done, none = figures("4", "--bootstrap", 0)
    assert none["l1"] == {"value": first["l1"]["value"], "interval_95": None}
    assert [within for _, within in table(done).values()] == ["", ""]


def test_labels(labelled, tmp_path):
    made, truth = labelled
    done = succeeded(
        call("evaluate", "--results_dir", "results", "--palette", "mine.csv", cwd=tmp_path)
    )
    out = tmp_path / "results" / "evaluation"
    assert tuple(table(done)) == (*FIGURES, *LABEL_FIGURES)
    wanted = dict(zip(LABEL_FIGURES, scores(made, truth, 2), strict=True))
    found = record(out)
    assert found["palette"] == "mine.csv"
    assert {name: values(out)[name] for name in LABEL_FIGURES} == pytest.approx(wanted)
    for name, value in wanted.items():
        low, high = found["figures"][name]["interval_95"]
        assert low < value < high
    matrix = [[int(((truth == t) & (made == p)).sum()) for p in range(3)] for t in range(2)]
    assert found["labels_confusion"] == matrix
    classes = found["labels_classes"]
    assert list(classes) == ["red", "blue"]
    mean = np.mean([[c["accuracy"], c["iou"]] for c in classes.values()], 0)
    np.testing.assert_allclose(mean, [wanted["class_accuracy"], wanted["class_iou"]])
    with Image.open(out / "labels-confusion.png") as image:
        image.load()
    for row in rows_of_csv(out):
        n = int(row["name"])
        found = [float(row[name]) for name in LABEL_FIGURES]
        assert found == pytest.approx(scores(made[n], truth[n], 2))
    assert extremes_of_page(out)[LABEL_FIGURES[0]] == [["4", "3", "2"], ["0", "1"]]


def test_labels_as_a_network_paints_them(tmp_path):
    """Near the colours; classes that the truth lacks have no score."""
    made, truth = label_ids(classes=5)
    colours = np.array(list(FACADES.classes.values()))
    rng = np.random.default_rng(5)
    images = {}
    for n, ids in enumerate(zip(made, truth, strict=True)):
        output = np.clip(colours[ids[0]] + rng.integers(-15, 16, (14, 16, 3)), 0, 255)
        images[f"{n}"] = {"outputs": output, "targets": colours[ids[1]]}
    write_results(tmp_path, images)
    flags = ("--palette", "facades", "--metrics", "labels")
    succeeded(call("evaluate", "--results_dir", tmp_path, *flags))
    out = tmp_path / "evaluation"
    wanted = dict(zip(LABEL_FIGURES, scores(made, truth, 12), strict=True))
    assert values(out) == pytest.approx(wanted)
    classes = record(out)["labels_classes"]
    assert list(classes) == list(FACADES.classes)
    assert classes["shop"] == {"accuracy": None, "iou": None}
    assert classes["facade"]["iou"] > 0.3


def test_a_segmenter_with_inputs_as_the_truth(segmented, tmp_path):
    """The tool in its own process; the self-check comes before all else."""
    made, real, truth = segmented
    (tmp_path / "bright.py").write_text(SEGMENTER)
    flags = ("--palette", "mine.csv", "--segmenter", "bright:classes", "--self_check")
    done = succeeded(run("evaluate", "--results_dir", "results", *flags, cwd=tmp_path))
    out = tmp_path / "results" / "evaluation"
    fcn = dict(zip((f"fcn_{name}" for name in LABEL_FIGURES), scores(made, truth, 2), strict=True))
    photos = dict(
        zip((f"photos_{name}" for name in LABEL_FIGURES), scores(real, truth, 2), strict=True)
    )
    assert tuple(values(out)) == tuple(table(done)) == (*FIGURES, *fcn, *photos)
    found = {name: values(out)[name] for name in (*fcn, *photos)}
    assert found == pytest.approx(fcn | photos)
    assert found["fcn_class_iou"] < found["photos_class_iou"] < 1
    expected = ", ".join(f"{value:.2f}" for value in photos.values())
    first, *lines = done.stdout.splitlines()
    assert first == f"real photos, by bright:classes: {expected} (pixels, classes, IoU)"
    assert lines[0].startswith("| metric |")
    [note] = record(out)["notes"]
    assert "not FCN-8s' scores" in note
    assert f"note: {note}" in lines
    assert record(out)["segmenter"] == "bright:classes"
    for kind, ids in (("fcn", made), ("photos", real)):
        matrix = [[int(((truth == t) & (ids == p)).sum()) for p in range(3)] for t in range(2)]
        assert record(out)[f"{kind}_confusion"] == matrix
        assert pixels(out / f"{kind}-confusion.png").size


def test_a_segmenter_with_labels_in_files(segmented, tmp_path):
    """Twice as high and wide as the images, in a folder of folders; 255 is void."""
    made, _, truth = segmented
    (tmp_path / "bright_too.py").write_text(SEGMENTER)
    large = np.where(truth < 2, truth, 255).repeat(2, 1).repeat(2, 2)
    for n, ids in enumerate(large):
        write(tmp_path / "labels" / f"city{n % 2}" / f"{n}_gtFine_labelTrainIds.png", ids)
        (tmp_path / "results" / "images" / f"{n}-inputs.png").unlink()
    flags = ("--segmenter", "bright_too:classes", "--labels_dir", "labels", "--metrics", "fcn")
    done = call(
        "evaluate", "--results_dir", "results", "--palette", "mine.csv", *flags, cwd=tmp_path
    )
    succeeded(done)
    assert "real photos" not in done.stdout
    wanted = dict(
        zip((f"fcn_{name}" for name in LABEL_FIGURES), scores(made, truth, 2), strict=True)
    )
    out = tmp_path / "results" / "evaluation"
    assert values(out) == pytest.approx(wanted)
    assert np.sum(record(out)["fcn_confusion"]) == (large < 2).sum()


def test_labels_that_are_all_void(refused, segmented, tmp_path):
    (tmp_path / "bright_void.py").write_text(SEGMENTER)
    for n in range(5):
        write(tmp_path / "labels" / f"{n}.png", np.full((14, 16), 255))
    flags = ("--segmenter", "bright_void:classes", "--labels_dir", "labels")
    refused(
        *FCN, *flags, expected=["no pixel of labels/0.png, nor of the other labels, has a class"]
    )


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), "results_dir is missing"),
        (("--outputs_dir", "outputs"), "results_dir is missing"),
        (("--targets_dir", "targets"), "results_dir is missing"),
        (
            ("--results_dir", "nowhere"),
            "results_dir nowhere does not exist: name a folder that tools/test",
        ),
        (("--results_dir", "outputs"), "results_dir outputs has no folder images"),
        (("--outputs_dir", "nowhere", "--targets_dir", "targets"), "outputs_dir nowhere does not"),
        (("--outputs_dir", "outputs", "--targets_dir", "nowhere"), "targets_dir nowhere does not"),
        (("--outputs_dir", "outputs", "--targets_dir", "a.txt"), "targets_dir a.txt is not a fol"),
        (("--results_dir", "x", "--outputs_dir", "outputs"), "results_dir contradicts outputs_dir"),
        (("--results_dir", "x", "--inputs_dir", "inputs"), "results_dir contradicts outputs_dir"),
    ],
)
def test_images_that_are_not_there(refused, two, tmp_path, flags, expected):
    (tmp_path / "a.txt").write_text("")
    refused(*flags, expected=[expected])


IMAGES = ("--outputs_dir", "outputs", "--targets_dir", "targets")
MINE = ("--palette", "mine.csv")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--bootstrap", -1), "bootstrap must be at least 0, not -1"),
        (("--bootstrap", "many"), "invalid int value: 'many'"),
        (("--seed", -3), "seed must be at least 0, not -3"),
        (("--metrics", "lips"), "metrics must be of l1, psnr, ssim, histogram, lpips, labels"),
        (("--metrics", "lpips"), ("metrics lpips needs a network's file", "--lpips_weights")),
        (("--metrics", "features"), ("metrics features needs a network", "--features")),
        (("--features", "mine"), "features must be efficientnet_lite0 or module:function"),
        (("--report_sensitivity",), "report_sensitivity is for a segmenter"),
        (("--metrics", "l1,,ssim"), "not ''"),
        (("--metrics", ""), "not ''"),
        (("--metrics", "labels"), ("metrics labels needs the labels' colours", "--palette")),
        (("--metrics", "fcn"), ("metrics fcn needs the labels' colours", "--palette")),
        (("--metrics", "fcn", *MINE), ("metrics fcn needs what reads labels", "--segmenter")),
        (("--metrics", "l1,fid"), ("metrics fid needs Inception's graph", "--inception")),
        (("--metrics", "kid"), ("metrics kid needs Inception's graph", "--inception")),
        (("--palette", "nowhere"), "palette must be one of cityscapes, facades or a CSV file"),
        (("--palette", "cityscapes"), "palette cityscapes does not fit the targets"),
        (MINE, "palette mine.csv does not fit the targets"),
        (("--self_check",), ("self_check is for a segmenter", "--segmenter")),
        (("--labels_dir", "labels"), "labels_dir is for a segmenter"),
        (("--target_statistics", "x.npz"), ("target_statistics are Inception's", "--inception")),
        (("--metrics", "fid", "--inception", "x.pb"), "inception x.pb cannot be read: No such"),
        (("--inputs_dir", "nowhere"), "inputs_dir nowhere does not exist"),
        (("--output_dir", "mine.csv"), "output_dir mine.csv cannot be written"),
        (("--output_dir", "mine.csv/x"), "output_dir mine.csv/x cannot be written"),
        (("--verbose",), "unrecognized arguments: --verbose"),
    ],
)
def test_bad_flags(refused, two, tmp_path, flags, expected):
    (tmp_path / "mine.csv").write_text(TWO_CSV)
    expected = [expected] if isinstance(expected, str) else expected
    refused(*IMAGES, *flags, expected=expected)


FCN = ("--results_dir", "results", "--metrics", "fcn", *MINE)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--segmenter", "nowhere"), "segmenter nowhere does not exist"),
        (("--segmenter", "nomodule:classes"), "module nomodule cannot be imported"),
        (("--segmenter", "bright_bad:other"), "module bright_bad has no function other"),
        (("--segmenter", "bright_bad:fails"), "bright_bad:fails failed: KeyError: 'sky'"),
        (("--segmenter", "bright_bad:flat"), "segmenter bright_bad:flat gives int64 [7], not an"),
        (("--segmenter", "bright_bad:ends"), "bright_bad:ends failed: SystemExit: 3"),
        (("--segmenter", "bright_bad:many"), "gives class 40; palette mine.csv has 2 from 0 on"),
        (("--segmenter", "bright_bad:classes", "--labels_dir", "x"), "labels_dir x does not exist"),
        (
            ("--segmenter", "bright_bad:classes", "--palette", "facades"),
            "palette facades does not fit the inputs",
        ),
    ],
)
def test_bad_segmenters(refused, segmented, tmp_path, flags, expected):
    lines = ("import numpy", SEGMENTER, "def flat(p): return numpy.zeros(7, int)")
    lines = (
        *lines,
        "def fails(p): raise KeyError('sky')",
        "def ends(p): raise SystemExit(3)",
        "def many(p): return numpy.full((7, 8), 40)",
    )
    (tmp_path / "bright_bad.py").write_text("\n".join(lines))
    refused(*FCN, *flags, expected=[expected])


def test_a_segmenter_needs_a_palette(refused, segmented, tmp_path):
    """Whether its metric is named or not."""
    (tmp_path / "bright_alone.py").write_text(SEGMENTER)
    flags = ("--results_dir", "results", "--segmenter", "bright_alone:classes")
    refused(*flags, expected=["metrics fcn needs the labels' colours", "--palette"])
    refused(*flags, "--metrics", "fcn", expected=["metrics fcn needs the labels' colours"])


@pytest.mark.parametrize("flags", [("--self_check",), ("--labels_dir", "labels")])
def test_flags_that_would_do_nothing(refused, segmented, tmp_path, flags):
    (tmp_path / "bright_idle.py").write_text(SEGMENTER)
    with_segmenter = ("--results_dir", "results", *MINE, "--segmenter", "bright_idle:classes")
    refused(*with_segmenter, "--metrics", "l1", *flags, expected=["segmenter is for metrics fcn"])


def test_no_truth_for_a_segmenter(refused, segmented, tmp_path):
    (tmp_path / "bright_lost.py").write_text(SEGMENTER)
    flags = (*FCN, "--segmenter", "bright_lost:classes")
    (tmp_path / "results" / "images" / "3-inputs.png").unlink()
    refused(*flags, expected=["metrics fcn needs the true labels", "--inputs_dir", "--labels_dir"])
    for n in (0, 2, 4):
        write(tmp_path / "labels" / f"{n}.png", np.zeros((14, 16)))
    expected = "no labels NAME.png for 2 of 5 images in labels_dir labels"
    refused(*flags, "--labels_dir", "labels", expected=[expected], listed=["1", "3"])
    for folder in ("labels", "labels/new"):
        where = ("--labels_dir", "labels", "--output_dir", folder)
        refused(*flags, *where, expected=[f"output_dir {folder} lies in labels_dir labels"])
    for n in (1, 3):
        (tmp_path / "labels" / f"{n}.png").write_bytes(b"no image")
    done = call("evaluate", *flags, "--labels_dir", "labels", cwd=tmp_path)
    assert done.returncode == 2
    first, *lines = done.stderr.splitlines()
    assert first.startswith("evaluate.py: 2 of 5 labels cannot be used")
    assert [line.partition(" is not an image")[0] for line in lines] == [
        "  labels/1.png",
        "  labels/3.png",
    ]


def test_a_target_is_missing(refused, two, tmp_path):
    (tmp_path / "targets" / "a.png").unlink()
    refused(*IMAGES, expected=["outputs/a.png has no partner in targets"])


def test_an_output_is_missing(refused, two, tmp_path):
    (tmp_path / "outputs" / "a.png").unlink()
    expected = "outputs_dir outputs lacks 1 of 7 images in targets_dir targets (a)"
    refused(*IMAGES, expected=[expected])


def test_an_input_is_missing(refused, two, tmp_path):
    write(tmp_path / "inputs" / "a.png", np.zeros((14, 16)))
    expected = "outputs/b_leftImg8bit.png has no partner in inputs"
    refused(*IMAGES, "--inputs_dir", "inputs", expected=[expected])


def test_names_that_stand_twice(refused, two, tmp_path):
    shutil.copy(tmp_path / "targets" / "a.png", tmp_path / "targets" / "a.jpg")
    (tmp_path / "targets" / "d.png").unlink()
    refused(*IMAGES, expected=["outputs/a.png shares its name with another file"])


def test_images_that_cannot_be_evaluated(refused, two, tmp_path):
    """All bad images are named, whatever is wrong."""
    write(tmp_path / "outputs" / "a.png", np.zeros((14, 15, 3)))
    contents = (tmp_path / "targets" / "d.png").read_bytes()
    (tmp_path / "targets" / "d.png").write_bytes(contents[:-40])
    (tmp_path / "outputs" / "e.png").write_bytes(b"")
    before = tree(tmp_path)
    done = call("evaluate", *IMAGES, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    first, *lines = done.stderr.splitlines()
    expected = "3 images cannot be evaluated; mend or remove them:"
    assert first == f"evaluate.py: {expected}"
    assert lines[0] == "  outputs/a.png: is 15x14 pixels, its partner targets/a.png 16x14"
    assert lines[1].startswith("  outputs/d.png: has the partner targets/d.png, which cannot be de")
    assert lines[2:] == ["  outputs/e.png: is empty"]
    assert tree(tmp_path) == before


def test_an_input_that_cannot_be_read(refused, results):
    (results / "images" / "a-inputs.png").write_bytes(b"no image")
    refused(
        *("--results_dir", "results"),
        expected=["1 image cannot be evaluated"],
        listed=["results/images/a-inputs.png: is not an image"],
    )


def test_results_without_targets(refused, results):
    for name in ("a", "d"):
        (results / "images" / f"{name}-targets.png").unlink()
    expected = "no target for 2 of 7 images in results (a): translate pairs, not inputs alone"
    refused("--results_dir", "results", expected=[expected])


def test_results_without_an_output(refused, results):
    (results / "images" / "d-outputs.png").unlink()
    expected = "results/images/d-targets.png has no output beside it"
    refused("--results_dir", "results", expected=[expected])


def test_results_without_outputs(refused, results):
    for path in (results / "images").glob("*-outputs.png"):
        path.unlink()
    refused(
        "--results_dir", "results", expected=["results holds no images NAME-outputs.png in imag"]
    )


def test_images_smaller_than_a_window(refused, tmp_path):
    small = {kind: np.zeros((10, 30, 3)) for kind in ("outputs", "targets")}
    write_results(tmp_path / "results", {"a": small})
    expected = "image a: SSIM needs images of 11 pixels at least, not 30x10"
    refused("--results_dir", "results", expected=[expected, "--metrics"])
    succeeded(call("evaluate", "--results_dir", tmp_path / "results", "--metrics", "l1"))


@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_one_image_has_no_distance(refused, tmp_path, metric):
    write_results(tmp_path / "results", {"a": draw()["a"]})
    flags = ("--results_dir", "results", "--inception", "x.pb", "--metrics", metric)
    refused(*flags, expected=[f"metrics {metric} needs 2 images at least, not 1"])


def test_images_are_never_written_over(refused, results, two, tmp_path):
    """The folder of the evaluated images is refused for the page's images."""
    refused(
        *("--results_dir", "results", "--output_dir", "results"),
        expected=[
            "output_dir results cannot be written: results/images holds images that are read"
        ],
    )
    flags = ("--results_dir", "results", "--output_dir", "results/images")
    refused(*flags, expected=["output_dir results/images", "name another folder"])
    for kind in ("outputs", "targets"):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / kind).rename(tmp_path / "set" / "images")
        flags = ["set/images" if flag == kind else flag for flag in IMAGES]
        refused(
            *flags, "--output_dir", "set", expected=["output_dir set cannot be written: set/images"]
        )
        (tmp_path / "set" / "images").rename(tmp_path / kind)
        (tmp_path / "set").rmdir()


def test_other_pages_are_never_written_over(refused, results, tmp_path):
    """Other images are refused, too; an earlier report is replaced and its other plots removed."""
    write_results(tmp_path / "others", {"a": draw()["a"]})
    flags = ("--results_dir", "results", "--output_dir", "others")
    refused(*flags, expected=["others holds images, but no evaluation.json of tools/evaluate.py"])
    shutil.rmtree(tmp_path / "others" / "images")
    for name in ("index.html", "images.csv", "evaluation.json", "labels-confusion.png"):
        (tmp_path / "others" / name).write_text("{}")
        refused(*flags, expected=[f"output_dir others holds {name}, but no"])
        (tmp_path / "others" / name).unlink()
    succeeded(call("evaluate", *flags, cwd=tmp_path))
    (tmp_path / "others" / "labels-confusion.png").write_bytes(b"of an earlier one")
    succeeded(call("evaluate", *flags, cwd=tmp_path))
    assert not (tmp_path / "others" / "labels-confusion.png").exists()


def test_what_was_written_before_stays(results, tmp_path):
    """An earlier report is intact until all new figures are known."""
    flags = ("--results_dir", results, "--output_dir", tmp_path / "out", "--metrics", "l1")
    succeeded(call("evaluate", *flags))
    (results / "images" / "a-inputs.png").write_bytes(b"no image")
    before = tree(tmp_path)
    done = call("evaluate", *flags)
    assert done.returncode == 2
    assert "a-inputs.png" in done.stderr
    assert tree(tmp_path) == before


@pytest.mark.parametrize("flags", [("--help",), ("--verbose",), ("--bootstrap", "-1"), ()])
def test_help_and_wrong_flags_need_no_tensorflow(flags):
    program = (
        "import runpy, sys\n"
        "sys.modules['tensorflow'] = None\n"  # an import raises ImportError
        f"sys.argv = {[script('evaluate'), *flags]!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert "Traceback" not in done.stderr
    assert done.returncode == (0 if flags == ("--help",) else 2)
