"""options.json and segmenter.json."""

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
