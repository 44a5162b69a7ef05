"""What all commands share: flags made from options, ``--json``, verbosity, errors and exit codes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from webinfer.cli.output.terminal import Terminal
from webinfer.core.options import Options, describe

Body = Callable[..., None]

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
METAVARS = {"executable": "PATH", "db_path": "FILE", "browser_args": "ARG", "threads": "N"}
SHORT = {"browser": ("-b",), "platform": ("-p",)}

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else to standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress; log errors only.")]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, metavar="", show_default=False, help="Log the life cycle; -vv logs everything."
    ),
]
LogJson = Annotated[
    bool,
    typer.Option(
        "--log-json",
        envvar="WEBINFER_LOG_JSON",
        show_default=False,
        help="Log the life cycle to standard error as JSON lines; show no progress.",
    ),
]


def command(
    app: typer.Typer, name: str, *, flags: tuple[str, ...] = (), examples: str = "", default: bool = False
) -> Callable[[Body], Body]:
    """Add a command to an app.

    Args:
        app: The app.
        name: The command's name.
        flags: Options that become flags. The body gets them as one ``Options``, its second argument.
        examples: Example lines for the end of the help.
        default: Whether the group runs it when no command of the group is named.

    Returns:
        A decorator for the body, which takes a ``Terminal`` first.
    """

    def decorate(body: Body) -> Body:
        parameters = list(inspect.signature(body, eval_str=True).parameters.values())[1 + bool(flags) :]
        parameters += [flag(option) for option, _ in describe() if option.name in flags]
        parameters += [_common("json", Json, False), _common("quiet", Quiet, False), _common("verbose", Verbose, 0)]
        parameters.append(_common("log_json", LogJson, False))

        if default:
            parameters.append(_common("context", typer.Context, inspect.Parameter.empty))

        def run(**values: Any) -> None:
            if default and values.pop("context").invoked_subcommand is not None:
                return
            json, quiet, verbose, log_json = (values.pop(common) for common in ("json", "quiet", "verbose", "log_json"))
            terminal = Terminal(json=json, quiet=quiet, verbosity=verbose, log_json=log_json)
            with terminal.guard():
                given = {key: values.pop(key) for key in flags}
                body(terminal, *([options_of(given)] if flags else []), **values)

        keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        # Typer makes the flags from the signature, so ``run`` gets the body's, plus the flags of all commands.
        run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]  # typer reads it
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        if default:
            app.callback(invoke_without_command=True, help=_summary(body), epilog=_epilog(examples))(run)
        else:
            app.command(name, help=_summary(body), epilog=_epilog(examples), context_settings=HELP)(run)
        return body

    return decorate


def flag(option: Field[Any]) -> inspect.Parameter:
    """Return the command-line flag of an option. Its name, values, default and help come from the option.

    Args:
        option: The option.

    Returns:
        A parameter for the signature that typer reads.
    """
    hint = get_type_hints(Options)[option.name]
    spelled = "--" + option.name.replace("_", "-")
    kind, default, several = hint, option.default, get_origin(hint) is tuple
    if hint is bool and default:
        spelled += f"/--no-{spelled[2:]}"
    if several:
        kind, default = list[get_args(hint)[0]], []  # type: ignore[misc]  # made at run time
    assert default is not MISSING
    info = typer.Option(
        spelled,
        *SHORT.get(option.name, ()),
        help=str(option.metadata["help"]),
        metavar=METAVARS.get(option.name, "SECONDS" if float in (hint, *get_args(hint)) else None),
        show_default=bool(default) and not several,
    )
    return _common(option.name, Annotated[kind, info], default)


def options_of(values: Mapping[str, Any]) -> Options:
    """Return options made from flags.

    Args:
        values: Values of the flags by the option's name.

    Raises:
        OptionError: A value is not valid.
    """
    return Options.of(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def split(values: list[str] | None) -> tuple[str, ...]:
    """Return the values of a flag that takes lists with commas, once each.

    Args:
        values: What the command line has, one string for each use of the flag.

    Returns:
        The parts, without spaces around them.
    """
    parts = (part.strip() for value in values or () for part in value.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def _summary(body: Body) -> str:
    """Return a body's docstring without its sections, which are for readers of the code."""
    return re.split(r"\n\s*\n\s*(?:Args|Raises):\n", body.__doc__ or "")[0]


def _epilog(examples: str) -> str | None:
    """Return examples in a form whose lines stay as they are; ``None`` if there are none."""
    lines = inspect.cleandoc(examples).splitlines()
    return "\b\nExamples:\n" + "\n".join(f"  {line}".rstrip() for line in lines) if lines and lines[0] else None


def _common(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
