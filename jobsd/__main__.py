"""python -m jobsd, and the command ``jobsd``."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from jobsd.cli import run  # noqa: PLC0415 - the base install has no command line
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "jobsd":
            raise
        sys.stderr.write(f"jobsd: the command line needs {error.name!r}: pip install 'jobsd[daemon]'\n")
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
