"""Written by setup.py."""

VERSION: str
TORCH_VERSION: str
