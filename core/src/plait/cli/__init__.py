"""The command ``mesh`` and its verbs; no logic."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from plait.api.errors import ConfigError, ConfigErrors, PlaitError, PluginError
from plait.cli.exits import Exit
from plait.cli.options import UsageError

__all__ = ["Exit", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mesh`` with these arguments (those of the process unless given); its exit code."""
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except PluginError as error:
        return _tell(error, Exit.PLUGIN)
    except ConfigErrors as errors:
        for each in errors.errors:
            print(each, file=sys.stderr)
        return Exit.CONFIG
    except ConfigError as error:
        print(error, file=sys.stderr)
        return Exit.CONFIG
    except BrokenPipeError:
        # Whoever read standard output left: nothing more can be said, and the flush at exit must not try.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except UsageError as error:
        return _tell(error, Exit.USAGE)
    except (PlaitError, OSError) as error:
        return _tell(error, Exit.FAILED)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _run(arguments: list[str]) -> int:
    from plait.cli.verbs import OWN, own_commands, parser, plugin_command, plugin_commands

    commands = own_commands()
    verb = next((argument for argument in arguments if not argument.startswith("-")), "")
    if verb and verb not in OWN:
        command = plugin_command(verb)
        if command is not None:
            commands.append(command)
    elif not verb and {"-h", "--help"} & set(arguments):
        more, errors = plugin_commands()
        commands += [command for command in more if command.name not in OWN]
        for error in errors:
            _tell(error, Exit.PLUGIN)
    try:
        parsed = parser(commands).parse_args(arguments)
    except SystemExit as end:  # argparse has said what is wrong, or printed the help
        return end.code if isinstance(end.code, int) else Exit.USAGE
    return int(parsed.run_verb(parsed))


def _tell(error: Exception, code: Exit) -> Exit:
    print(f"mesh: {error}", file=sys.stderr)
    return code
