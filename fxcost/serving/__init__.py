"""Language models in service: blocks that repeat, the serving view of a captured graph, and what is asked of it."""
