"""options.json, segmenter.json and the variable TF_CONFIG."""

from hypothesis import strategies as st

from . import valid_files
from .strategies import Files, changed_record, damaged_file, json_text, json_values, options_texts


def test_options_json(fuzz_files, tmp_path):
    saved = valid_files.checkpoint(tmp_path, valid_files.variables(), folder="")
    cases = options_texts(valid_files.options()).map(
        lambda found: Files((("options.json", found[0]), *saved.items()), (), found[1])
    )
    fuzz_files("options.json", cases, "readers:options_json")


def test_segmenter_json(fuzz_files):
    record = valid_files.segmenter()
    colours = st.lists(
        st.sampled_from((0, 1, 255, 256, -1, 1.5, True, "7", None, 10**30)), min_size=2, max_size=4
    )
    classes = st.dictionaries(st.sampled_from(("a", "b", "", "é", "a\nb")), colours, max_size=3)
    palettes = st.fixed_dictionaries(
        {"name": st.sampled_from(("mine.csv", 3, None)), "classes": classes},
        optional={"ignored": st.lists(colours, max_size=2)},
    )
    texts = st.one_of(
        damaged_file({"segmenter.json": json_text(record)}).map(lambda found: found[0]),
        changed_record(record, ("unknown",)),
        palettes.map(lambda palette: json_text({**record, "palette": palette})),
        json_values.map(json_text),
    )
    cases = texts.map(lambda text: Files((("segmenter.json", text),)))
    fuzz_files("segmenter.json", cases, "readers:segmenter_json")


def test_tf_config(fuzz_files):
    addresses = st.sampled_from(
        (
            *("one:1", "two:2", "two:2", "three:65535", "[::1]:4", "four:0", "four:65536", "five"),
            *("a..b:1", "x" * 64 + ":1", "\udcff:1", "a b:1", "a\nb:1", ":1", "", "٣:٣", 5, None),
        )
    )
    jobs = st.dictionaries(
        st.sampled_from(("worker", "worker", "chief", "ps", "a\nb", "\ud800")),
        st.lists(addresses, max_size=4) | json_values,
        max_size=3,
    )
    indices = st.sampled_from((0, 1, 2, -1, "0", "1", "x", "9" * 5000, 0.5, 1e999, True, None))
    tasks = st.fixed_dictionaries(
        {"type": st.sampled_from(("worker", "chief", "ps", 5)), "index": indices | json_values}
    )
    configs = st.fixed_dictionaries({"cluster": jobs, "task": tasks})
    valid = {"cluster": {"worker": ["one:1", "two:2"]}, "task": {"type": "worker", "index": 0}}
    texts = st.one_of(
        configs.map(json_text),
        configs.map(json_text),
        damaged_file({"TF_CONFIG": json_text(valid)}).map(lambda found: found[0]),
        changed_record(valid, ("unknown",)),
        json_values.map(json_text),
    )
    cases = texts.map(lambda text: Files((("TF_CONFIG", text),)))
    fuzz_files("TF_CONFIG", cases, "readers:tf_config")
