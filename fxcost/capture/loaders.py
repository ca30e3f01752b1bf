"""MODEL arguments: `torchvision:NAME`, `timm:NAME`, `hf:CLASS_OR_DIR`, `module:factory`, `file.py:factory`, `file.pt2`.

Models are built on the meta device, so that no weight is ever allocated; where a constructor needs real values the model
is built on the CPU with random weights. Loading a factory runs its code.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fxcost.errors import CaptureError, FileError, FxcostError, SpecError, UnknownName, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_NAMES = 5_000


def load_model(name: str) -> Any:
    """Return the nn.Module, GraphModule or ExportedProgram that `name` stands for.

    Raises UnknownName for a name that a zoo does not have, FileError for a broken file, CaptureError when the factory
    raises, SpecError for a name of no known form.
    """
    if name.endswith(".pt2"):
        return load_program(Path(name))
    prefix, colon, rest = name.partition(":")
    if not colon or not prefix or not rest:
        raise SpecError(
            f"model {name!r}: expected torchvision:NAME, timm:NAME, hf:CLASS_OR_DIR, package.module:factory, "
            "file.py:factory, file.pt2 or file.mlir"
        )
    loader = {"torchvision": _torchvision, "timm": _timm, "hf": _hugging_face}.get(prefix)
    if loader is not None:
        return loader(rest)
    return _factory(prefix, rest)


def load_program(path: Path) -> Any:
    """Load an ExportedProgram; raises FileError for anything that is not one."""
    if not path.is_file():
        raise FileError(f"{path}: no such file; expected a .pt2 written by torch.export.save")
    try:
        with _quiet():
            return torch.export.load(path)
    except Exception as error:  # torch.export.load raises a different type for every kind of damage
        raise FileError(
            f"{path}: not a readable .pt2 ({_first_line(error)}); write it again with torch.export.save of this torch "
            f"({torch.__version__})"
        ) from error


def build(make: Callable[[], Any], what: str) -> Any:
    """Call a constructor on the meta device, else on the CPU; errors become one CaptureError."""
    try:
        with torch.device("meta"), _quiet():
            return _checked(make(), what)
    except FxcostError:
        raise
    except Exception as on_meta:
        try:
            with _quiet():
                return _checked(make(), what)
        except FxcostError:
            raise
        except Exception as error:
            raise CaptureError(
                f"{what}: building the model raised {type(error).__name__}: {_first_line(error)}; "
                "call it yourself once to see the whole error"
            ) from on_meta


def _checked(model: Any, what: str) -> Any:
    if not isinstance(model, nn.Module | torch.export.ExportedProgram):
        raise SpecError(f"{what} returned {type(model).__name__}; expected an nn.Module or an ExportedProgram")
    return model.eval() if isinstance(model, nn.Module) else model


def _torchvision(name: str) -> Any:
    models = _zoo("torchvision")
    known = models.list_models()
    if name not in known:
        raise UnknownName(f"torchvision has no model {name!r}{nearest(name, known)}")
    builder = models.get_model_builder(name)
    extra = {"weights_backbone": None} if "weights_backbone" in inspect.signature(builder).parameters else {}
    return build(lambda: builder(weights=None, **extra), f"torchvision:{name}")


def _timm(name: str) -> Any:
    timm = _zoo("timm")
    if not timm.is_model(name):
        raise UnknownName(f"timm has no model {name!r}{nearest(name, timm.list_models())}")
    return build(lambda: timm.create_model(name, pretrained=False), f"timm:{name}")


def _hugging_face(name: str) -> Any:
    transformers = _zoo("transformers")
    folder = Path(name)
    if folder.exists():
        config = _config_of(transformers, folder)
        for architecture in getattr(config, "architectures", None) or ():
            if hasattr(transformers, architecture):
                return build(lambda: getattr(transformers, architecture)(config), f"hf:{name}")
        return build(lambda: transformers.AutoModel.from_config(config), f"hf:{name}")
    found = getattr(transformers, name, None)
    if found is None or not inspect.isclass(found):
        known = [n for n in dir(transformers) if n[:1].isupper()][:MAX_NAMES]
        raise UnknownName(f"transformers has no class {name!r} and there is no such folder{nearest(name, known)}")
    if issubclass(found, transformers.PreTrainedConfig):
        return build(lambda: transformers.AutoModel.from_config(found()), f"hf:{name}")
    config_class = getattr(found, "config_class", None)
    if config_class is None:
        raise SpecError(f"hf:{name} is no model with a configuration; name a model class such as LlamaForCausalLM")
    return build(lambda: found(config_class()), f"hf:{name}")


def _config_of(transformers: Any, folder: Path) -> Any:
    if not (folder / "config.json").is_file() and folder.is_dir():
        raise FileError(f"{folder}: no config.json in this folder; expected a Hugging Face configuration")
    try:
        return transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:
        raise FileError(f"{folder}: not a readable configuration ({_first_line(error)})") from error


def _zoo(package: str) -> Any:
    if package == "torchvision" or (package == "timm" and importlib.util.find_spec("torchvision")):
        from fxcost.capture.shim import declare_vision_ops

        declare_vision_ops()
    try:
        with _quiet():
            return importlib.import_module("torchvision.models" if package == "torchvision" else package)
    except ImportError as error:
        raise SpecError(f"{package} is not installed ({_first_line(error)}); pip install 'fxcost[zoo]'") from error


def _factory(place: str, name: str) -> Any:
    module = _module_from_file(Path(place)) if place.endswith(".py") else _module(place)
    target: Any = module
    for part in name.split("."):
        if not hasattr(target, part):
            known = [n for n in vars(target) if not n.startswith("_")] if hasattr(target, "__dict__") else []
            raise UnknownName(f"{place} has no {name!r}{nearest(part, known)}")
        target = getattr(target, part)
    if isinstance(target, nn.Module | torch.export.ExportedProgram):
        return target
    if not callable(target):
        raise SpecError(f"{place}:{name} is {type(target).__name__}; expected a function or class that builds a model")
    return build(target, f"{place}:{name}")


def _module(place: str) -> Any:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a module beside the user, as `python -m` has it
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(error.name + ".")):
            raise UnknownName(f"there is no module {place!r}; run from its folder or install it") from error
        raise CaptureError(f"{place}: importing it raised {type(error).__name__}: {_first_line(error)}") from error
    except Exception as error:
        raise CaptureError(f"{place}: importing it raised {type(error).__name__}: {_first_line(error)}") from error


def _module_from_file(path: Path) -> Any:
    if not path.is_file():
        raise FileError(f"{path}: no such file; expected a Python file with a function that builds a model")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None, "a .py file always has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CaptureError(f"{path}: running it raised {type(error).__name__}: {_first_line(error)}") from error
    return module


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings of other people's constructors."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
