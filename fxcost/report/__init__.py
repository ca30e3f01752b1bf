"""What users see: one file per output format."""
