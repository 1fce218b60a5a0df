"""The error that a person can cause and mend."""


class UserError(ValueError):
    """Something that the person who runs a tool can mend.

    Its message is one line that says what is wrong, where, and what to do. The tools print it to
    stderr without a traceback and exit with code 2.
    """
