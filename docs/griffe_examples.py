"""Shows `Example:` of a docstring as code, which Griffe does for `Examples:` only."""

import re

import griffe


class Examples(griffe.Extension):
    """Renames the section while docstrings are read."""

    def on_object(self, *, obj, **kwargs):
        """Griffe calls this for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = re.sub(
                r'^(\s*)Example:$', r'\1Examples:', obj.docstring.value, flags=re.MULTILINE
            )
