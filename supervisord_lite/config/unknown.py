"""What is said of a key that nobody knows: what was probably meant, or where it belongs."""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as List
from typing import Any, get_args, get_origin

from supervisord_lite.config.errors import Path, dotted, quoted, suggestion
from supervisord_lite.config.model import File
from supervisord_lite.config.values import LIMIT_NAMES
from supervisord_lite.core.spec import HookPoint

# What supervisord and Compose call it, and where it stands here.
_COUNTERPARTS = {
    "after": "depends_on",
    "autorestart": "restart",
    "cmd": "command",
    "command": "exec",
    "cpus": "max_cpu",
    "cron": "schedule.cron",
    "cwd": "working_dir",
    "deploy": "instances",
    "directory": "working_dir",
    "entrypoint": "command",
    "env": "environment",
    "envs": "environment",
    "exitcodes": "restart.success_codes",
    "killasgroup": "stop",
    "liveness": "healthcheck",
    "logfile": "log.path",
    "logfile_backups": "log.rotate.keep",
    "logfile_maxbytes": "log.rotate.size",
    "loglevel": "log.level",
    "mem_limit": "max_memory",
    "numprocs": "instances",
    "program": "workers",
    "programs": "workers",
    "readiness": "ready",
    "redirect_stderr": "stderr: joined",
    "replicas": "instances",
    "scale": "instances",
    "services": "workers",
    "startretries": "restart.limit",
    "startsecs": "restart.stable_after",
    "stderr_logfile": "stderr.log",
    "stderr_logfile_backups": "stderr.rotate.keep",
    "stderr_logfile_maxbytes": "stderr.rotate.size",
    "stdout_logfile": "stdout.log",
    "stdout_logfile_backups": "stdout.rotate.keep",
    "stdout_logfile_maxbytes": "stdout.rotate.size",
    "stop_grace_period": "stop",
    "stop_signal": "stop",
    "stopasgroup": "stop",
    "stopsignal": "stop",
    "stopwaitsecs": "stop",
    "test": "exec",
    "tz": "timezone",
    "workdir": "working_dir",
}
_WITHOUT_COUNTERPART = {
    "priority": "what has to be up before it is said by depends_on",
    "logging": "a log is said by stdout and stderr, where else lines go by logs.forward",
    "stderr_syslog": "lines are sent to syslog by logs.forward",
    "stdout_syslog": "lines are sent to syslog by logs.forward",
    "process_name": "instances are named NAME:0, NAME:1 and so on",
}
# The keys of sections that are dictionaries with keys of ours.
_FIXED: dict[str, Iterable[str]] = {"hooks": list(HookPoint), "ulimits": LIMIT_NAMES}
_ANY = "NAME"  # stands for a name that the user chooses


def unknown_key(path: Path) -> str:
    """The refusal of the key at the end of this path."""
    word, section = str(path[-1]), path[:-1]
    return f"cannot find a key named {quoted(word)}{_hint(word, section)}"


def _hint(word: str, path: Path) -> str:
    """What the section has instead, by the words of other supervisors; where else the key may
    stand; or what is spelt alike.
    """
    known = _keys(_section_at(path), path)
    if word in _WITHOUT_COUNTERPART:
        return f" ({_WITHOUT_COUNTERPART[word]})"
    ours = _COUNTERPARTS.get(word, "")
    if re.split("[.:]", ours)[0] in known:
        return f" (did you mean {quoted(ours)}?)"
    if places := _elsewhere(word, path):
        return f" (it belongs under {' or '.join(map(dotted, places))})"
    return suggestion(word, known)


def _elsewhere(word: str, path: Path) -> List[Path]:
    """The sections that have this key: below the one at `path`, else around it, as near as can be;
    never outside the worker or channel.
    """
    own = min(len(path), 2 if path[:1] in (("workers",), ("channels",)) else 1)
    for length in range(len(path), own - 1, -1):
        level = [(path[:length], _section_at(path[:length]))]
        while level:
            if found := [place for place, section in level if word in _keys(section, place)]:
                return found
            level = [inner for place, section in level for inner in _inner(section, place)]
    return []


def _section_at(path: Path) -> Any:
    """The type of the section at this path of a file."""
    section: Any = File
    for part in path:
        if get_origin(section) in (dict, list):
            section = _section(get_args(section)[-1])
        else:
            section = _section(section.model_fields[part].annotation)
    return section


def _section(annotation: Any) -> Any:
    """The model, or the dictionary or list of them, that an annotation wraps."""
    if hasattr(annotation, "model_fields") or get_origin(annotation) in (dict, list):
        return annotation
    found = (_section(argument) for argument in get_args(annotation))
    return next((section for section in found if section is not None), None)


def _keys(section: Any, path: Path) -> List[str]:
    """The keys that a section may have, as far as they are not the user's to choose."""
    if hasattr(section, "model_fields"):
        return [*section.model_fields, *(["include"] if section is File else [])]
    return list(_FIXED.get(str(path[-1]), ()))


def _inner(section: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """The sections directly in a section. `defaults` has those of a worker."""
    if hasattr(section, "model_fields"):
        fields = section.model_fields.items()
        inner = [((*path, key), field.annotation) for key, field in fields if key != "defaults"]
    else:
        element = get_args(section)[-1]
        inner = [((*path, _ANY) if get_origin(section) is dict else path, element)]
    for place, annotation in inner:
        if (found := _section(annotation)) is not None:
            yield place, found
