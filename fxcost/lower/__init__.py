"""Lowering: captured programs and whole models become `ir.Graph`s. Torch side."""
