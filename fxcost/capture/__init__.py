"""From a model and input specs to a captured program with named symbolic sizes."""
