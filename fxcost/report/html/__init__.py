"""Pages: one self-contained HTML file with sliders, exact at every size; see `document` and `data`."""
