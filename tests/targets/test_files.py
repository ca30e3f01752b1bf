"""Target files that are wrong: one clear error each, naming the file, the key, what was found and what was expected."""

from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxcost.errors import FileError, UnknownName
from fxcost.target import MAX_FILE_BYTES, Memory, Share, load_target, parse_target
from fxcost.target.energy_tables import TABLES
from fxcost.target.write import to_toml

GOOD = """
name = "board"
vendor = "somebody"
class = "mcu"
runtime = "its own"

[compute]
int8_ops_per_s = 2e9

[[memory]]
name = "sram"
holds = "activations"
capacity_bytes = 1000
banks_bytes = [600, 400]
bandwidth_bytes_per_s = 1e9

[[memory]]
name = "flash"
holds = "weights"
persistent = true

[overhead]
default_s = 1e-6
conv_s = 5e-6

[efficiency]
origin = "measured on the board"
n = 3
error = 0.1

[efficiency.default]
compute = 0.5

[energy]
table = "own"

[energy.pj_per_mac]
int8 = { mult = 0.2, add = 0.03 }

[energy.pj_per_byte]
sram = 1.25

[limits]
tdp_w = 1

[[sources]]
figures = ["compute.*", "memory.*", "overhead.*", "efficiency.*", "energy.*", "limits.tdp_w"]
document = "data sheet"
date = 2026-11-22
checked = "yes"
"""


def read(text: str) -> object:
    return parse_target(text.encode(), "board.toml")


def test_the_good_file_is_read() -> None:
    target = parse_target(GOOD.encode(), "board.toml")
    assert target.kind == "mcu"
    assert target.peak("int8") == 2e9
    assert target.peak("fp32") is None
    assert target.memory[0] == Memory("sram", "activations", 1000, (600, 400), bandwidth_bytes_per_s=1e9)
    assert (target.overhead("conv"), target.overhead("pool")) == (5e-6, 1e-6)
    assert target.efficiency is not None
    assert target.efficiency.share("conv") == Share(compute=0.5, memory=1.0)
    assert target.sources[0].date == date(2026, 11, 22)


# (text of the good file, its replacement, what the message says besides the file)
BROKEN = [
    ('name = "board"', "", "name: missing"),
    ('runtime = "its own"', "", "runtime: missing"),
    ("[compute]\nint8_ops_per_s = 2e9", "", "compute: missing"),
    ('name = "board"', 'name = "two words"', "name: found 'two words' (a string), expected a name"),
    ('name = "board"', 'name = ""', "name: found '' (a string)"),
    ('vendor = "somebody"', "vendor = 3", "vendor: found 3 (an integer), expected a line of text"),
    ('vendor = "somebody"', 'vendor = "\\u001b[31m"', "vendor: found '\\x1b[31m' (a string), expected a line of text"),
    ('class = "mcu"', 'class = "mcp"', "class: found 'mcp', expected one of"),
    ('class = "mcu"', 'class = "mcp"', "did you mean 'mcu'"),
    ('class = "mcu"', "class = ['mcu']", "class: found ['mcu'] (a list)"),
    ("int8_ops_per_s = 2e9", "int8_ops = 2e9", "compute.int8_ops: unknown key; did you mean 'int8_ops_per_s'"),
    ("int8_ops_per_s = 2e9", "int8_ops_per_s = 'fast'", "compute.int8_ops_per_s: found 'fast' (a string), expected a"),
    ("int8_ops_per_s = 2e9", "int8_ops_per_s = true", "compute.int8_ops_per_s: found True (a boolean)"),
    ("int8_ops_per_s = 2e9", "int8_ops_per_s = -2e9", "compute.int8_ops_per_s: found -2000000000.0 (a number)"),
    ("int8_ops_per_s = 2e9", "int8_ops_per_s = 0", "compute.int8_ops_per_s: found 0 (an integer), expected a positive"),
    ("int8_ops_per_s = 2e9", "int8_ops_per_s = nan", "compute.int8_ops_per_s: found nan"),
    ("int8_ops_per_s = 2e9", "int8_ops_per_s = inf", "compute.int8_ops_per_s: found inf"),
    ("int8_ops_per_s = 2e9", "int8_ops_per_s = -inf", "compute.int8_ops_per_s: found -inf"),
    ("int8_ops_per_s = 2e9", "int8_ops_per_s = 1e-320", "compute.int8_ops_per_s: found 1e-320"),
    ("int8_ops_per_s = 2e9", "int8_ops_per_s = 0x" + "f" * 5000, "compute.int8_ops_per_s: found a very long number"),
    ("int8_ops_per_s = 2e9", "int8_ops_per_s = " + "9" * 5000, "not valid TOML"),
    ("int8_ops_per_s = 2e9", "int8_ops_per_s = [2e9]", "compute.int8_ops_per_s: found [2000000000.0] (a list)"),
    ("[compute]\nint8_ops_per_s = 2e9", "compute = 3", "compute: found 3 (an integer), expected a table"),
    ("capacity_bytes = 1000", "capacity_bytes = 1e3", "memory[0].capacity_bytes: found 1000.0 (a number), expected a"),
    ("capacity_bytes = 1000", "capacity_bytes = -1", "memory[0].capacity_bytes: found -1"),
    ("capacity_bytes = 1000", "capacity_bytes = 999", "memory.sram.banks_bytes: found 1000 bytes in all"),
    ("capacity_bytes = 1000", "capacity = 1000", "memory[0].capacity: unknown key; did you mean 'capacity_bytes'"),
    ("[600, 400]", "[]", "memory[0].banks_bytes: found [] (a list), expected a list of at least one entry"),
    ("[600, 400]", "[600, 'x']", "memory[0].banks_bytes[1]: found 'x' (a string)"),
    ("[600, 400]", str([1] * 65), "memory[0].banks_bytes: found 65 entries, expected at most 64"),
    ('name = "flash"', 'name = "sram"', "memory.sram: two levels have this name"),
    ('name = "flash"', 'name = "a.b"', "memory[1].name: found 'a.b' (a string)"),
    ('holds = "weights"', 'holds = "both"', "memory.flash.holds: found 'both' in a persistent level"),
    ('holds = "activations"', 'holds = "weights"', "memory: no level holds activations"),
    ('holds = "weights"\npersistent = true', 'holds = "activations"', "memory: no level holds weights"),
    ('name = "flash"', 'name = "flash"\ntechnology = "rom"', "memory[1].technology: found 'rom', expected one of sram"),
    ("persistent = true", "persistent = 1", "memory[1].persistent: found 1 (an integer), expected true or false"),
    (
        "bandwidth_bytes_per_s = 1e9",
        "bandwidth_bytes_per_s = 1e9\nread_bandwidth_bytes_per_s = 1e9",
        "memory.sram: found bandwidth_bytes_per_s beside a read or write bandwidth",
    ),
    ("default_s = 1e-6", "default = 1e-6", "overhead.default: unknown key, expected a name that ends in '_s'"),
    ("default_s = 1e-6", "default_s = -1e-6", "overhead.default_s: found -1e-06"),
    ("n = 3", "", "efficiency.n: missing"),
    ("n = 3", "n = 3\nm = 4", "efficiency.m: unknown key"),
    ("error = 0.1", "error = -0.1", "efficiency.error: found -0.1"),
    ("[efficiency.default]\ncompute = 0.5", "", "efficiency: states no share"),
    ("compute = 0.5", "speed = 0.5", "efficiency.default.speed: unknown key"),
    ("compute = 0.5", "compute = 0.0", "efficiency.default.compute: found 0.0"),
    ('table = "own"', "", "energy.table: missing"),
    ("int8 = { mult = 0.2, add = 0.03 }", "int8 = { mult = 0.2 }", "energy.pj_per_mac.int8.add: missing"),
    ("int8 = { mult = 0.2, add = 0.03 }", "int8 = 0.23", "energy.pj_per_mac.int8: found 0.23 (a number), expected a"),
    ("int8 = { mult", "int9 = { mult", "energy.pj_per_mac.int9: found 'int9', expected one of"),
    ("sram = 1.25", "sran = 1.25", "energy.pj_per_byte.sran: no memory level has this name; did you mean 'sram'"),
    ("tdp_w = 1", "tdp = 1", "limits.tdp: unknown key; did you mean 'tdp_w'"),
    ('"limits.tdp_w"', '"limits.tpd_w"', "sources[0].figures: 'limits.tpd_w' is no figure of this file; did you mean"),
    (', "limits.tdp_w"]', "]", "limits.tdp_w: has no source"),
    ('"limits.tdp_w"]', '"limits.tdp_w"]\nfigure = 3', "sources[0].figure: unknown key; did you mean 'figures'"),
    ("date = 2026-11-22", "date = '2026-11-22'", "sources[0].date: found '2026-11-22' (a string), expected a date"),
    ("date = 2026-11-22", "date = 2026-11-22T10:00:00", "sources[0].date: found datetime.datetime(2026"),
    ("date = 2026-11-22", "", "sources[0].date: missing"),
    ('checked = "yes"', 'checked = "maybe"', "sources[0].checked: found 'maybe', expected one of yes, partly, no"),
    ('document = "data sheet"', 'document = " "', "sources[0].document: found ' ' (a string)"),
]


@pytest.mark.parametrize(("old", "new", "said"), BROKEN, ids=[said[:50] for *_, said in BROKEN])
def test_broken_files(old: str, new: str, said: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(FileError) as caught:
        read(GOOD.replace(old, new))
    message = str(caught.value)
    assert message.startswith("board.toml: ")
    assert said in message
    assert len(message) < 500
    assert message.isprintable()


def without_energy(replacement: str = "") -> str:
    start, end = GOOD.index("[energy]"), GOOD.index("[limits]")
    text = (GOOD[:start] + replacement + GOOD[end:]).replace('"energy.*", ', "")
    return text.replace('name = "sram"', 'name = "sram"\ntechnology = "sram"')


def test_without_energies_the_lectures_table_is_taken() -> None:
    target = parse_target(without_energy().encode(), "board.toml")
    assert target.energy is not None
    assert (target.energy.table, target.energy.static_w) == ("45 nm, 0.9 V: Horowitz, as in the lecture", None)
    # 5 pJ per 32-bit access of an SRAM; flash, whose technology the file does not say, is not in the table
    assert dict(target.energy.pj_per_byte) == {"sram": 5 / 4}
    assert dict(target.energy.pj_per_mac)["int8"].mult == 0.2
    energies = [row for row in target.rows() if row.key.startswith("energy.")]
    assert len(energies) == 8
    assert {row.source.document for row in energies if row.source} == {
        "Horowitz, ISSCC 2014, 45 nm 0.9 V",
        "Han et al. / lecture slide (after Horowitz), 45 nm 0.9 V",
    }


def test_static_power_may_stand_beside_the_lectures_table() -> None:
    text = without_energy("[energy]\nstatic_w = 0.2\n").replace('"limits.tdp_w"', '"limits.tdp_w", "energy.static_w"')
    target = parse_target(text.encode(), "board.toml")
    assert target.energy is not None
    assert (target.energy.node_nm, target.energy.static_w) == (45, 0.2)
    with pytest.raises(FileError, match=r"energy\.static_w: found -1"):
        read(text.replace("static_w = 0.2", "static_w = -1"))
    with pytest.raises(FileError, match=r"energy\.node_nm: found without picojoules"):
        read(text.replace("static_w = 0.2", "node_nm = 7"))


def test_another_table_may_be_chosen_by_name() -> None:
    text = without_energy('[energy]\ntable = "7 nm"\n')
    target = parse_target(text.encode(), "board.toml")
    assert target.energy is not None
    # Jouppi et al. 2021: int8 0.07 + 0.007 pJ; 1 MB SRAM 14 pJ per 64 bits
    assert (target.energy.node_nm, dict(target.energy.pj_per_byte)) == (7, {"sram": 1.75})
    assert dict(target.energy.pj_per_mac)["int8"].add == 0.007
    assert parse_target(to_toml(target).encode(), "board.toml") == target
    with pytest.raises(FileError, match=r"energy\.table: found '5 nm', expected one of 45 nm, 7 nm"):
        read(text.replace("7 nm", "5 nm"))


@pytest.mark.parametrize(("level", "per_64_bits"), [("hbm2e", 350), ("hbm3", 350), ("gddr6", 415), ("dram", 1300)])
def test_a_byte_goes_by_the_kind_of_memory(level: str, per_64_bits: float) -> None:
    memory = Memory(level, "both", technology="dram")
    assert TABLES["7 nm"].energy([memory]).pj_per_byte == ((level, per_64_bits / 8),)
    assert TABLES["45 nm"].energy([memory]).pj_per_byte == ((level, 160),)


def test_pinned_weights_are_in_a_cache_and_at_most_all() -> None:
    level = '[[memory]]\nname = "l2"\nholds = "both"\ncapacity_bytes = 100\ncached_weights = 0.5\n'
    figures = '"limits.tdp_w", "memory.l2.*"'
    text = GOOD.replace("[[memory]]", level + "[[memory]]", 1).replace('"limits.tdp_w"', figures)
    assert parse_target(text.encode(), "board.toml").memory[0].cached_weights == 0.5
    with pytest.raises(FileError, match=r"cached_weights: found more than all weights"):
        read(text.replace("cached_weights = 0.5", "cached_weights = 1.5"))
    with pytest.raises(FileError, match=r"memory\.flash\.cached_weights: found in a level that caches no weights"):
        read(text.replace("persistent = true", "persistent = true\ncached_weights = 0.5"))


def test_a_cache_is_faster_than_what_it_caches() -> None:
    slow = GOOD.replace('holds = "activations"', 'holds = "both"').replace(
        'holds = "weights"\npersistent = true', 'holds = "both"\nbandwidth_bytes_per_s = 2e9'
    )
    with pytest.raises(FileError, match=r"memory\.sram: found a read bandwidth of 1e\+09 .* in front of flash"):
        read(slow)


def test_two_sources_for_one_figure() -> None:
    second = '\n[[sources]]\nfigures = ["limits.*"]\ndocument = "rumour"\ndate = 2026-11-22\nchecked = "no"\n'
    with pytest.raises(FileError, match=r"limits\.tdp_w: found 2 sources \(data sheet; rumour\), expected one"):
        read(GOOD + second)


def test_overheads_need_the_efficiency_that_uses_them() -> None:
    start, end = GOOD.index("[efficiency]"), GOOD.index("[energy]")
    without = (GOOD[:start] + GOOD[end:]).replace('"efficiency.*", ', "")
    with pytest.raises(FileError, match="overhead: found without an efficiency block"):
        read(without)


def test_invalid_toml_names_the_line() -> None:
    with pytest.raises(FileError, match=r"board\.toml: not valid TOML: .*line 3"):
        read('name = "board"\nvendor = "x"\nclass = \n')
    with pytest.raises(FileError, match="not valid TOML"):
        read('name = "board"\nname = "again"\n')


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(FileError, match=r"nested too deeply|not valid TOML"):
        read("a = " + "[" * 30_000)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read: no such file or directory"):
        load_target(tmp_path / "absent.toml")
    with pytest.raises(FileError, match="did you mean 'stm32h743'"):
        load_target("stm32h74.toml")

    folder = tmp_path / "folder.toml"
    folder.mkdir()
    with pytest.raises(FileError, match="found a directory, expected a TOML file"):
        load_target(folder)

    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'name = "caf\xe9"')
    with pytest.raises(FileError, match="not UTF-8 text: byte 11 is 0xe9"):
        load_target(str(latin))

    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(FileError, match="larger than 65,536 bytes"):
        load_target(large)

    empty = tmp_path / "empty.toml"
    empty.touch()
    with pytest.raises(FileError, match=r"empty\.toml: name: missing"):
        load_target(empty)

    with pytest.raises(FileError, match="cannot be read: embedded null byte"):
        load_target("a\0.toml")
    with pytest.raises(FileError, match="cannot be read: file name too long"):
        load_target("a" * 5000 + ".toml")


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(GOOD)
    assert load_target(path) == load_target(str(path))
    assert load_target(path).name == "board"


def test_unknown_names_get_the_nearest_ones() -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'h100-sxm'.*must end in \.toml"):
        load_target("h100")
    with pytest.raises(UnknownName):
        load_target("../hw_targets/t4")


@given(st.data())
def test_damaged_files_are_read_or_refused_but_never_crash(data: st.DataObject) -> None:
    lines = GOOD.splitlines()
    position = data.draw(st.integers(0, len(lines) - 1))
    other = data.draw(st.integers(0, len(lines) - 1))
    damage = data.draw(st.sampled_from(["drop", "repeat", "swap", "value"]))
    if damage == "drop":
        del lines[position]
    elif damage == "repeat":
        lines.insert(other, lines[position])
    elif damage == "swap":
        lines[position], lines[other] = lines[other], lines[position]
    else:
        key = lines[position].partition("=")[0]
        lines[position] = (
            key + "= " + data.draw(st.sampled_from(["1", "-1.5", "'x'", "[]", "{}", "true", "nan", "[{}]"]))
        )
    with suppress(FileError):
        parse_target("\n".join(lines).encode(), "board.toml")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_crash(raw: bytes) -> None:
    with pytest.raises(FileError):
        parse_target(raw, "noise.toml")
