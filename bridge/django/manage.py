#!/usr/bin/python3
"""Django's command line: python3 manage.py serve starts the tracking server."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tracking.settings")
    execute_from_command_line(sys.argv)
