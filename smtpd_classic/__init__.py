"""An SMTP server for a small organisation, set up in a terminal screen."""

__all__ = ["__version__"]

__version__ = "0.1.0"
