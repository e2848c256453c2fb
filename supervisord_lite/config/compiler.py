"""The whole way from files to a configuration, and the short-lived process that goes it.

    python -m supervisord_lite.config.compiler FILE... [--scale NAME=COUNT]...
        [--keep NAME=DECLARED:COUNT]...

answers in one JSON document on its standard output: `configuration` (read it with
`core.plain.from_plain`) and `listing`, exit code 0; or `problems` and `files`, exit code 2. A
`--scale` is a number of instances that holds in any case, a `--keep` one of before, which holds
while the file still declares what it declared then.

The process bounds its own memory, CPU time and age, so that the daemon neither carries the YAML and
validation libraries nor suffers from a hostile file, or waits for one that nobody writes: a FIFO,
a file on a server that is gone.
"""

import gc
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping as Environment
from collections.abc import Sequence
from dataclasses import dataclass

# Looking for plugins means reading the metadata of every installed package.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
if __name__ == "__main__":
    gc.disable()  # a process that ends soon gains nothing from looking for garbage

from supervisord_lite.config.defaults import apply_defaults
from supervisord_lite.config.document import Mapping
from supervisord_lite.config.errors import Invalid, Problems
from supervisord_lite.config.listing import Row, rows_of
from supervisord_lite.config.place import Place
from supervisord_lite.config.resolve import resolve
from supervisord_lite.config.scaling import Scaling, read_options
from supervisord_lite.config.sources import Sources
from supervisord_lite.config.validate import validate
from supervisord_lite.core.plain import to_plain
from supervisord_lite.core.spec import Configuration

MEMORY_LIMIT = 1 << 30  # bytes of address space
CPU_LIMIT = 20  # seconds
TIME_LIMIT = 50  # seconds: less than `slctl reload` waits
EXIT_INVALID = 2


@dataclass(frozen=True, slots=True)
class Compiled:
    """A configuration, where each of its values came from, and what is probably not meant so."""

    configuration: Configuration
    listing: tuple[Row, ...]
    warnings: tuple[str, ...] = ()


def compile_files(
    paths: Sequence[str],
    environment: Environment[str, str] | None = None,
    scaling: Scaling | None = None,
) -> Compiled:
    """Read these files, later ones over earlier ones. Raises `Invalid` with every problem.

    `environment` is what `${VAR}` is taken from; None is that of this process. `scaling` has the
    numbers of instances that are not those of the files.
    """
    variables = os.environ if environment is None else environment
    problems = Problems()
    sources = Sources(variables, problems)
    document = sources.read(list(paths))
    files = tuple(sources.files)
    if not sources.complete:
        raise Invalid(problems.lines(), files)
    document = apply_defaults(_without_extensions(document))
    file = validate(document, problems)
    root = Place(document, (), problems)
    configuration = resolve(file, root, files, variables, scaling or Scaling())
    if problems:
        raise Invalid(problems.lines(), files)
    return Compiled(configuration, tuple(rows_of(document, configuration)), problems.warnings())


def _without_extensions(document: Mapping) -> Mapping:
    """Keys that begin with `x-` are the user's: a home for anchors."""
    kept = {key: node for key, node in document.entries.items() if not key.startswith("x-")}
    return Mapping(document.mark, kept, document.keys)


def main(arguments: Sequence[str]) -> int:
    """Compile the files and print the answer."""
    _bound(resource.RLIMIT_AS, MEMORY_LIMIT)
    _bound(resource.RLIMIT_CPU, CPU_LIMIT)
    # Deadly, not handled: the kernel lets go of a dead file server for a deadly signal only.
    signal.alarm(TIME_LIMIT)
    files, scaling = read_options(arguments)
    try:
        compiled = compile_files(files, scaling=scaling)
    except Invalid as invalid:
        _answer({"problems": invalid.problems, "files": invalid.files})
        return EXIT_INVALID
    except MemoryError:
        problem = f"{files[0]}:1:1: cannot compile this within {MEMORY_LIMIT >> 20} MiB of memory"
        _answer({"problems": [problem], "files": files})
        return EXIT_INVALID
    _answer(
        {
            "configuration": to_plain(compiled.configuration, compact=True),
            "listing": [row._asdict() for row in compiled.listing],
        }
    )
    return 0


def _bound(which: int, limit: int) -> None:
    """Lower a limit of this process; one that is lower already stays."""
    _, hard = resource.getrlimit(which)
    if hard == resource.RLIM_INFINITY or hard > limit:
        resource.setrlimit(which, (limit, limit))


def _answer(document: object) -> None:
    sys.stdout.write(json.dumps(document, separators=(",", ":")))
    sys.stdout.flush()


if __name__ == "__main__":
    # There is nothing to clean up, and taking every object apart costs a tenth of the whole time.
    os._exit(main(sys.argv[1:]))
