"""The machines: one TOML file each, every figure with its source.

`runtimes/CLASS.RUNTIME.toml` is what a runtime achieves on machines of a class that have no fit of their own. This
package only finds and reads the files; `fxcost.target` says what they mean.
"""

from importlib.resources import files

from fxcost.errors import UnknownName, nearest

if __name__ != "fxcost.hw_targets":
    # At the root of a checkout `import hw_targets` would find this folder and load it a second time.
    raise ImportError("import fxcost.hw_targets; the folder is not a package of its own")


def names() -> list[str]:
    """Return the names of all shipped targets, in alphabetical order."""
    entries = (entry.name for entry in files(__name__).iterdir())
    return sorted(entry.removesuffix(".toml") for entry in entries if entry.endswith(".toml"))


def read(name: str) -> bytes:
    """Return the TOML text of a shipped target; raises UnknownName with the nearest known ones."""
    known = names()
    if name not in known:
        raise UnknownName(f"no hardware target is called {name!r}{nearest(name, known)}")
    return files(__name__).joinpath(f"{name}.toml").read_bytes()


def runtimes() -> list[tuple[str, str]]:
    """Return (class, runtime) of all shipped efficiencies, in alphabetical order."""
    entries = (entry.name for entry in files(__name__).joinpath("runtimes").iterdir())
    found = (entry.removesuffix(".toml").partition(".") for entry in entries if entry.endswith(".toml"))
    return sorted((kind, runtime) for kind, _, runtime in found)


def read_runtime(kind: str, runtime: str) -> bytes:
    """Return the TOML text of a shipped efficiency; raises UnknownName with the nearest known ones of the class."""
    if (kind, runtime) not in runtimes():
        known = [name for of, name in runtimes() if of == kind]
        listed = f"; known for {kind}: {', '.join(known)}" if known else ""
        raise UnknownName(
            f"no efficiency is known of runtime {runtime!r} on class {kind}{nearest(runtime, known)}{listed}"
        )
    return files(__name__).joinpath("runtimes", f"{kind}.{runtime}.toml").read_bytes()
