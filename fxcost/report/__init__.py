"""Reports: one file per format, each a function of a `Summary`; found by listing this folder."""
