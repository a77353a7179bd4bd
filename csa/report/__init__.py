"""Pages that people look at in a browser: the report of a run, and two versions side by side. No
stage makes or needs them.
"""
