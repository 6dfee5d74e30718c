#!/usr/bin/env python
"""Django's command line. Every Python version can parse this file, so that it can reject an unsupported one."""

import sys

if sys.version_info < (3, 11):
    sys.stderr.write("Python 3.11 or newer is required; this is Python %d.%d.\n" % sys.version_info[:2])
    sys.exit(2)
if sys.platform == "win32":
    sys.stderr.write("Windows is not supported; use WSL or docker-compose.\n")
    sys.exit(2)

if __name__ == "__main__":
    from project.command_line import main

    main()
