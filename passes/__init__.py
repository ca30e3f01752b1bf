"""The analyses: one pass, one file, one frozen fact.

The pipeline finds passes by listing this folder, so a new pass is a new file and nothing else. Names that start with
an underscore are helpers, not passes.
"""

import pkgutil

if __name__ != "fxcost.passes":
    # At the root of a checkout `import passes` would find this folder and register every pass a second time.
    raise ImportError("import fxcost.passes; the folder is not a package of its own")


def names() -> list[str]:
    """Return the names of all pass modules, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
