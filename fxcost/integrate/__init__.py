"""Where fxcost meets a running torch: measuring, applying orders, calibrating, exporting."""
