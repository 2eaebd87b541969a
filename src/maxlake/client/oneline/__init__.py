"""``maxlake.read`` and ``maxlake.write``: whole tables in and out, in one line."""
