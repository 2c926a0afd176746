"""The priors file: what it means, its errors, its starter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blemish.data import Dataset
from blemish.data.priors import CategoryPrior, Priors, starter
from blemish.data.priors.names import APPEARANCES, FAMILIES, GROUPS, SHAPE_NAMES, SIZES, resolve_shapes
from blemish.data.priors.words import DEFAULT, default_shapes, infer_appearance
from blemish.errors import ConfigError

pytestmark = pytest.mark.core

FULL = """\
tile:
  crack:
    prompts: [a tile with a crack, a cracked tile]
    negative_prompt: intact
    shapes: [line, brush-tiny]
    sizes: [small, medium]
    position_bound: yes
    appearance: dark-stroke
  hole: a tile with a hole
  stain: [a stained tile]
  'no':
"*":
  scratch:
    shapes: long-line
"""


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def to_file(text: str | bytes) -> Path:
        file = tmp_path / "defects.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    return to_file


def test_ways_to_describe_a_category(write: Any) -> None:
    priors = Priors.load(write(FULL))

    assert priors.for_product("tile") == {
        "scratch": CategoryPrior("scratch", shapes=("long-line",)),
        "crack": CategoryPrior(
            "crack",
            prompts=("a tile with a crack", "a cracked tile"),
            negative_prompt="intact",
            shapes=("line", "brush-tiny"),
            sizes=("small", "medium"),
            position_bound=True,
            appearance="dark-stroke",
        ),
        "hole": CategoryPrior("hole", prompts=("a tile with a hole",)),
        "stain": CategoryPrior("stain", prompts=("a stained tile",)),
        "no": CategoryPrior("no"),
    }
    assert list(priors.for_product("another")) == ["scratch"]


def test_a_products_own_category_goes_before_that_of_every_product(write: Any) -> None:
    priors = Priors.load(write("'*': {crack: {appearance: hole}}\nnut: {crack: a cracked nut}\n"))
    assert priors.for_product("nut") == {"crack": CategoryPrior("crack", prompts=("a cracked nut",))}
    assert priors.for_product("bolt")["crack"].painted_as == "hole"


def test_what_is_left_out_is_inferred() -> None:
    silent = CategoryPrior("defect_7", prompts=("a bottle with a deep scratch",))
    assert silent.painted_as == "bright-stroke"
    assert silent.shape_names == default_shapes("scratch")
    assert silent.prompts_for("bottle") == ("a bottle with a deep scratch",)
    assert CategoryPrior("oil_spot").prompts_for("hex-nut") == ("a hex nut with an oil spot defect",)
    told = CategoryPrior("scratch", shapes=("line", "whole"), sizes=("small",), appearance="tone")
    assert (told.painted_as, told.shape_names) == ("tone", ("line-small", "whole"))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("tile:\n  crack:\n    prompt: x\n", 3, "Did you mean 'prompts'"),
        ("tile:\n  crack:\n    shapes: [line, elipse]\n", 3, "Did you mean 'ellipse'"),
        ("tile:\n  crack:\n    shapes:\n      - line\n      - lin-small\n", 5, "Did you mean 'line-small'"),
        ("tile:\n  crack:\n    shapes: line\n    sizes: smal\n", 4, "Did you mean 'small'"),
        ("tile:\n  crack:\n    appearance: dark_stroke\n", 3, "Did you mean 'dark-stroke'"),
        ("tile:\n  crack:\n    appearance: [hole]\n", 3, "'appearance' is a list, not a text"),
        ("tile:\n  crack:\n    position_bound: maybe\n", 3, "'maybe', not true or false"),
        ("tile:\n  crack:\n    prompts: [a, {b: c}]\n", 3, "'prompts' is a mapping, not a text"),
        ("tile:\n  crack:\n    prompts: ''\n", 3, "'prompts' is blank"),
        ("tile:\n  crack:\n    shapes: [line]\n    sizes: [tiny]\n", 3, "line has no size tiny"),
        ("tile:\n  crack:\n    sizes: [small]\n", 3, "'crack' has sizes but no shapes"),
        ("tile:\n  crack: a\n  hole: b\n  crack: c\n", 4, "'crack' stands in line 2 already"),
        ("tile:\n  crack: a\nnut:\n  hole: b\ntile:\n  hole: b\n", 5, "'tile' stands in line 1 already"),
        ("tile:\n  crack:\n    prompts: a\n    prompts: b\n", 4, "'prompts' stands in line 3 already"),
        ("a: &a {crack: x}\nb:\n  <<: *a\n", 3, "'<<' merges are not understood"),
        ("tile:\n  [a, b]: x\n", 2, "the name of one of the categories is a list"),
        ("tile:\n  ~: x\n", 2, "the name of one of the categories is nothing"),
        ("- tile\n", 1, "the file is a list, not products"),
        ("tile: crack\n", 1, "'tile' is 'crack', not categories"),
        ("nut: {hole: x}\ntile:\n", 2, "the product 'tile' has no categories"),
        ("nut: {hole: x}\ntile: {}\n", 2, "the product 'tile' has no categories"),
        ("tile:\n  crack: 'a\n", 3, "is not YAML"),
        ("tile:\n\tcrack: a\n", 2, "is not YAML"),
        ("a: {b: c}\n---\nd: {e: f}\n", 2, "is not YAML"),
    ],
)
def test_errors_name_file_and_line(write: Any, text: str, line: int, words: str) -> None:
    file = write(text)
    with pytest.raises(ConfigError) as caught:
        Priors.load(file)
    assert str(caught.value).startswith(f"{file}, line {line}")
    assert words in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "describes no defects"),
        ("# nothing yet\n", "describes no defects"),
        ("{}\n", "describes no defects"),
        (b"tile: \xff", "is not UTF-8"),
        ("tile: \x01", "is not YAML"),
        ("[" * 2000, "is not YAML"),
        ("a: &x [*x]\n", "'a' is a list, not categories"),
    ],
)
def test_files_that_say_nothing(write: Any, content: str | bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Priors.load(write(content))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read"):
        Priors.load(tmp_path / "nowhere.yaml")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=120),
        st.text(max_size=120).map(lambda text: text.encode("utf-8", "replace")),
        st.lists(
            st.sampled_from(["tile:", "  crack:", "    shapes: [line]", "    sizes: x", "  - a", "{", "&a *a"])
        ).map(lambda lines: "\n".join(lines).encode()),
    )
)
def test_any_content_is_read_or_refused_politely(write: Any, content: bytes) -> None:
    file = write(content)
    try:
        priors = Priors.load(file)
    except ConfigError:
        with pytest.raises(ConfigError, match=r"defects\.yaml.*\. [A-Z]"):  # once more, for what it says
            Priors.load(file)
    else:
        assert priors.products


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cn"]), min_size=1, max_size=12).filter(
    lambda name: name == name.strip() and name != "<<"
)
PRIORS = st.builds(
    CategoryPrior,
    category=st.just("set below"),
    prompts=st.lists(NAMES, max_size=2).map(tuple),
    negative_prompt=st.none() | NAMES,
    shapes=st.lists(st.sampled_from([*FAMILIES, *GROUPS, *SHAPE_NAMES]), min_size=1, max_size=3).map(tuple),
    position_bound=st.booleans(),
    appearance=st.none() | st.sampled_from(tuple(APPEARANCES)),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tree=st.dictionaries(NAMES, st.dictionaries(NAMES, PRIORS, min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_what_is_written_is_read_back(tmp_path: Path, tree: dict[str, dict[str, CategoryPrior]]) -> None:
    named = {
        product: {name: replace(one, category=name) for name, one in categories.items()}
        for product, categories in tree.items()
    }
    Priors(named).save(tmp_path / "d.yaml")
    assert Priors.load(tmp_path / "d.yaml").products == named


def test_products_that_the_data_set_does_not_have() -> None:
    priors = Priors({"*": {}, "bolts": {}})
    with pytest.raises(ConfigError, match=r"product 'bolts', .* Did you mean 'bolt'"):
        priors.check_products(("bolt", "nut"))
    Priors({"*": {}, "nut": {}}).check_products(("bolt", "nut"))


@pytest.mark.parametrize(
    ("words", "appearance"),
    [
        ("a tile with a crack", "dark-stroke"),
        ("cuts", "dark-stroke"),
        ("scratch_head", "bright-stroke"),
        ("a scratched hole", "bright-stroke"),
        ("blowhole", "hole"),
        ("porosity", "hole"),
        ("pits in the surface", "hole"),
        ("a screw whose tip is missing", "missing"),
        ("broken-off corner", "missing"),
        ("mousebite", "missing"),
        ("bent_lead", "displacement"),
        ("a misplaced transistor", "displacement"),
        ("misprint", "misprint"),
        ("faulty ink", "misprint"),
        ("fray", "texture"),
        ("uneven", "tone"),
        ("a dark spot", "stain"),
        ("oil", "stain"),
        ("metal_contamination", "stain"),
        ("DIRT", "stain"),
        ("defect 7", DEFAULT.appearance),
        ("", DEFAULT.appearance),
        ("a spitting tripod", DEFAULT.appearance),  # pit and rip stand inside a word
    ],
)
def test_words_say_what_a_defect_looks_like(words: str, appearance: str) -> None:
    assert infer_appearance(words) == appearance
    assert appearance in APPEARANCES
    assert default_shapes(words)
    assert set(default_shapes(words)) <= set(SHAPE_NAMES)


@pytest.mark.parametrize(
    ("names", "sizes", "expected"),
    [
        (["line"], [], ("line-large", "line-medium", "line-small")),
        (["line"], ["medium", "small"], ("line-medium", "line-small")),
        (["brush"], ["tiny"], ("brush-tiny",)),
        (["whole", "line-small"], ["large"], ("line-small", "whole")),
        (["hollow"], ["small"], ("hollow-circular-small", "hollow-eccentric-small")),
        (["rectangle", "brush"], ["small"], ("rectangle-small", "brush-small")),
    ],
)
def test_names_of_shapes(names: list[str], sizes: list[str], expected: tuple[str, ...]) -> None:
    assert resolve_shapes(names, sizes) == expected


def test_every_family_resolves() -> None:
    assert resolve_shapes(FAMILIES) == SHAPE_NAMES
    assert resolve_shapes(GROUPS) == tuple(name for name in SHAPE_NAMES if name.startswith(("ellipse", "hollow")))


def test_the_starter_parses_and_lists_what_was_found(parts: Path, tmp_path: Path) -> None:
    dataset = Dataset.from_folder(parts)
    text = starter(dataset)
    (tmp_path / "d.yaml").write_text(text, encoding="utf-8")

    priors = Priors.load(tmp_path / "d.yaml")

    assert {product: list(found) for product, found in priors.products.items()} == {"bolt": ["spot"], "nut": ["spot"]}
    assert priors.for_product("nut")["spot"].prompts == ("a nut with a spot defect",)
    for word in (*FAMILIES, *GROUPS, *SIZES, *APPEARANCES):
        assert word in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_starters_example_and_inferred_lines_are_yaml_once_the_marks_are_gone(parts: Path, write: Any) -> None:
    lines = starter(Dataset.from_folder(parts)).splitlines()
    start = max(index for index, line in enumerate(lines) if line == "#   crack:")
    end = lines.index("#", start)
    priors = Priors.load(write("tile:\n" + "\n".join(line[2:] for line in lines[start:end])))
    assert priors.for_product("tile")["crack"].appearance == "dark-stroke"
    assert priors.for_product("tile")["crack"].shape_names == ("line-medium", "line-small", "brush-tiny")

    categories = lines[lines.index("bolt:") :]
    told = Priors.load(write("\n".join(line.replace("    # ", "    ") for line in categories)))
    assert told.for_product("bolt")["spot"].appearance == infer_appearance("spot")


def test_the_starter_of_products_without_defects_and_with_odd_names(tree: Any, write: Any) -> None:
    root = tree("x/no/a.png", "x/007/a.png", "x/a: b/good/a.png", "x/a: b/bad/#1/b.png", "x/é/a.png")
    priors = Priors.load(write(starter(Dataset.from_folder(root / "x"))))
    assert set(priors.products) == {"no", "007", "a: b", "é"}
    assert list(priors.for_product("no")) == ["scratch", "stain"]
    assert list(priors.for_product("a: b")) == ["#1"]
