"""MODEL arguments: `torchvision:NAME`, `timm:NAME`, `hf:CLASS_OR_DIR`, factories in modules and files, `file.pt2`.

Models are built on the meta device, so that no weight is ever allocated; where a constructor needs real values the model
is built on the CPU with random weights. Loading a factory runs its code.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fxcost.capture.quiet import muffled, short
from fxcost.capture.scalars import NumbersKept
from fxcost.capture.shim import prepare_torchvision
from fxcost.errors import CaptureError, FileError, FxcostError, SpecError, UnknownName, nearest

FORMS = "torchvision:NAME, timm:NAME, hf:CLASS_OR_DIR, package.module:factory, file.py:factory, file.pt2 or file.mlir"
EXTRA_FILE = "fxcost.json"
"""What a .pt2 written by fxcost holds beside the program: names of sizes, costs, the order."""

EXTRA_SCHEMA = "fxcost-pt2/1"
MAX_REAL_ELEMENTS = 2_000_000_000
"""Parameters of a model that is built with real weights: 8 GB in fp32. Asked for only where meta tensors do not do."""


def load_model(name: str, device: str = "meta") -> Any:
    """Return the nn.Module, GraphModule or ExportedProgram that `name` stands for, its weights on `device`.

    Raises UnknownName for a name that a zoo does not have, FileError for a broken file, CaptureError when the factory
    raises, SpecError for a name of no known form.
    """
    if name.endswith(".pt2"):
        return load_program(Path(name))
    prefix, _, rest = name.partition(":")
    if name.endswith(".py"):
        raise SpecError(f"model {name!r}: also name what builds the model in it, for example {name}:make_model")
    if not prefix or not rest:
        raise SpecError(f"model {name!r}: expected {FORMS}")
    loader = {"torchvision": _torchvision, "timm": _timm, "hf": _hugging_face}.get(prefix)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # where weights are real, they are the same every time
        found = loader(rest) if loader is not None else _factory(prefix, rest)
        if isinstance(found, nn.Module | torch.export.ExportedProgram):
            return found
        return build(found, name, device)


def load_program(path: Path) -> Any:
    """Load an ExportedProgram; raises FileError for anything that is not one.

    What fxcost has stored beside it is then in `graph_module.meta[EXTRA_FILE]`, as plain data.
    """
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "no such file"
        raise FileError(f"{path}: {problem}; expected a .pt2 written by torch.export.save")
    extra = {EXTRA_FILE: ""}
    try:
        with muffled():
            program = torch.export.load(path, extra_files=extra)
    except Exception as error:  # torch.export.load raises a different type for every kind of damage
        why = "its parts are not those of an exported program" if "warnings above" in str(error) else short(error)
        raise FileError(
            f"{path}: not a readable .pt2 ({why}); write it again with torch.export.save of this torch "
            f"({torch.__version__})"
        ) from error
    if extra[EXTRA_FILE]:
        program.graph_module.meta[EXTRA_FILE] = _stored(path, extra[EXTRA_FILE])
    return program


def _stored(path: Path, text: str) -> dict[str, Any]:
    """The costs and names stored in a .pt2; raises FileError where they are damaged."""
    try:
        found = json.loads(text)
        if found["schema"] != EXTRA_SCHEMA:
            raise ValueError(f"schema {found['schema']!r}")
        for entry in found["inputs"]:
            if not ({"dtype", "shape"} <= entry.keys() and isinstance(entry["shape"], list)):
                raise ValueError("an input without dtype and shape")
        return dict(found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(
            f"{path}: its {EXTRA_FILE} is damaged ({short(error)}), expected what `fxcost export --to pt2` writes; write it "
            "again, or take the program apart with torch.export"
        ) from error


def build(make: Callable[[], Any], what: str, device: str = "meta") -> Any:
    """Call a constructor on the meta device, or where that fails on the CPU; its errors become one CaptureError."""
    if device == "meta":
        try:
            with torch.device("meta"), NumbersKept():
                return _made(make, what)
        except CaptureError:  # it may need real values
            pass
    return _made(make, what)


def _made(make: Callable[[], Any], what: str) -> Any:
    try:
        with muffled():
            model = make()
    except (KeyboardInterrupt, FxcostError):
        raise
    except SystemExit as error:
        raise CaptureError(
            f"{what}: building the model called sys.exit({error.code!r}); name a function that returns a model"
        ) from error
    except BaseException as error:  # it is the user's code, and may raise anything
        raise CaptureError(
            f"{what}: building the model raised {short(error)}; call it yourself once to see the whole error"
        ) from error
    if not isinstance(model, nn.Module | torch.export.ExportedProgram):
        raise SpecError(f"{what} returned {type(model).__name__}; expected an nn.Module or an ExportedProgram")
    return model.eval() if isinstance(model, nn.Module) else model


# -- where models come from: each returns a model, or a function that builds one ------------------------------------
def _torchvision(name: str) -> Any:
    models = _zoo("torchvision")
    known = models.list_models()
    if name not in known:
        raise UnknownName(f"torchvision has no model {name!r}{_similar(name, known)}")
    builder = models.get_model_builder(name)
    extra = {"weights_backbone": None} if "weights_backbone" in inspect.signature(builder).parameters else {}
    return lambda: builder(weights=None, **extra)


def _timm(name: str) -> Any:
    timm = _zoo("timm")
    if not timm.is_model(name):
        raise UnknownName(f"timm has no model {name!r}{_similar(name, timm.list_models())}")
    return lambda: timm.create_model(name, pretrained=False)


def _hugging_face(name: str) -> Any:
    transformers = _zoo("transformers")
    folder = Path(name)
    if folder.exists():
        config = _config_of(transformers, folder)
        for architecture in getattr(config, "architectures", None) or ():
            if hasattr(transformers, architecture):
                return _in_stated_dtype(config, partial(getattr(transformers, architecture), config))
        return lambda: transformers.AutoModel.from_config(config)
    found = getattr(transformers, name, None)
    if found is None or not inspect.isclass(found):
        similar = _similar(name, [n for n in dir(transformers) if n[:1].isupper()])
        raise UnknownName(f"transformers has no class {name!r}, and there is no such folder{similar}")
    if issubclass(found, transformers.PreTrainedConfig):
        return lambda: transformers.AutoModel.from_config(found())
    config_class = getattr(found, "config_class", None)
    if config_class is None:
        raise SpecError(f"hf:{name} is no model with a configuration; name a model class such as LlamaForCausalLM")
    make: Any = found
    return lambda: make(config_class())


def load_text_model(name: str) -> tuple[Any, tuple[str, ...]]:
    """A model that generates text from the folder or file of a configuration, or a class; and what was assumed of it.

    Weights are bf16 where the configuration does not say. Raises as `load_model` does.
    """
    place = name.removeprefix("hf:")
    transformers = _zoo("transformers")
    if Path(place).exists():
        config = _config_of(transformers, Path(place))
        names = [n for n in getattr(config, "architectures", None) or () if hasattr(transformers, n)]
        make = partial(getattr(transformers, names[0]), config) if names else None
    else:
        found = getattr(transformers, place, None)
        if found is None or not inspect.isclass(found):
            similar = _similar(place, [n for n in dir(transformers) if n[:1].isupper()])
            raise UnknownName(f"{name}: no such file or folder, and transformers has no such class{similar}")
        is_config = issubclass(found, transformers.PreTrainedConfig)
        config_class = found if is_config else getattr(found, "config_class", None)
        if config_class is None:
            raise SpecError(f"{name} is no model with a configuration; name a model class such as LlamaForCausalLM")
        config, make = config_class(), None
        if not is_config:
            model_class: Any = found
            make = partial(model_class, config)
    if make is None:
        make = partial(transformers.AutoModelForCausalLM.from_config, config)
    stated: tuple[str, ...] = ()
    if getattr(config, "dtype", None) is None:
        config.dtype = torch.bfloat16
        stated = ("weights and cache are bf16: the configuration does not say",)
    return build(_in_stated_dtype(config, make), name), stated


def _in_stated_dtype(config: Any, make: Callable[[], Any]) -> Callable[[], Any]:
    """Build in the element type that the configuration states for its weights, as loading a checkpoint would."""
    stated = getattr(config, "dtype", None)
    dtype = getattr(torch, stated, None) if isinstance(stated, str) else stated
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        return make

    def made() -> Any:
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            return make()
        finally:
            torch.set_default_dtype(before)

    return made


def _config_of(transformers: Any, folder: Path) -> Any:
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise FileError(f"{folder}: no config.json in this folder; expected a Hugging Face configuration")
    try:
        with muffled():  # code that comes with a configuration is never run
            return transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise FileError(f"{folder}: not a readable configuration ({short(error)})") from error


def _zoo(package: str) -> Any:
    try:
        with muffled():
            prepare_torchvision()  # timm and transformers import it where it is installed
            return importlib.import_module("torchvision.models" if package == "torchvision" else package)
    except ImportError as error:
        raise SpecError(f"{package} is not installed ({short(error)}); pip install 'fxcost[zoo]'") from error


def _factory(place: str, name: str) -> Any:
    module = _module_from_file(Path(place)) if place.endswith(".py") else _module(place)
    target: Any = module
    for part in name.split("."):
        if not hasattr(target, part):
            known = [n for n in vars(target) if not n.startswith("_")] if hasattr(target, "__dict__") else []
            raise UnknownName(f"{place} has no {name!r}{nearest(part, known)}")
        target = getattr(target, part)
    if not callable(target) and not isinstance(target, torch.export.ExportedProgram):
        raise SpecError(f"{place}:{name} is {type(target).__name__}; expected a function or class that builds a model")
    return target


def _module(place: str) -> Any:
    _importable(Path.cwd())  # a module beside the user, as `python -m` has it
    try:
        return _run(lambda: importlib.import_module(place), f"{place}: importing it")
    except CaptureError as error:
        missing = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
        if missing is not None and (place == missing or place.startswith(missing + ".")):
            raise UnknownName(f"there is no module {place!r}; run from its folder or install it") from error
        raise


def _module_from_file(path: Path) -> Any:
    if not path.is_file():
        raise FileError(f"{path}: no such file; expected a Python file with a function that builds a model")
    source = path.read_bytes()
    known = _already_run(path.resolve(), source)
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, "a .py file always has a loader"
    module = importlib.util.module_from_spec(spec)
    _importable(path.parent.resolve())  # files beside it, as `python file.py` has it
    registered = sys.modules.setdefault(path.stem, module)
    try:
        _run(lambda: spec.loader.exec_module(module), f"{path}: running it")  # type: ignore[union-attr]
    except BaseException:
        if registered is module:
            del sys.modules[path.stem]
        raise
    _RUN[path.resolve()] = source, module
    return module


_RUN: dict[Path, tuple[bytes, Any]] = {}
"""Files run so far, with the text that was run."""


def _already_run(path: Path, source: bytes) -> Any:
    """The module of a file that was run or imported before and is the same since; None: it has to be run.

    Running a file again defines its custom operators again, and torch then destroys those of the first run while
    models built from it still call them.
    """
    if path in _RUN:
        text, module = _RUN[path]
        return module if text == source else None
    for name, module in sys.modules.copy().items():
        spec = getattr(module, "__spec__", None)
        if name != "__main__" and getattr(spec, "origin", None) == str(path):
            return None if getattr(spec, "_initializing", False) else module
    return None


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _run(execute: Callable[[], Any], what: str) -> Any:
    """Run a user's module; whatever it raises becomes a CaptureError."""
    try:
        return execute()
    except (KeyboardInterrupt, FxcostError):
        raise
    except SystemExit as error:
        raise CaptureError(f"{what} called sys.exit({error.code!r}); guard that with __name__ == '__main__'") from error
    except SyntaxError as error:
        raise CaptureError(f"{what} raised SyntaxError: {error}") from error  # its text says file and line
    except BaseException as error:
        raise CaptureError(f"{what} raised {short(error)}") from error


def _similar(name: str, known: Iterable[str]) -> str:
    """Like `nearest`, but silent where nothing is near: the first dozen of a thousand names help nobody."""
    hint = nearest(name, known)
    return hint if hint.startswith("; did you mean") else ""
