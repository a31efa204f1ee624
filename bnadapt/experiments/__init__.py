"""The engine of experiments: cases with keys, records on disk, scheduling by dask, tables, reports."""
