"""What users ask of expressions: quantities, solving, comparing, sweeping."""
