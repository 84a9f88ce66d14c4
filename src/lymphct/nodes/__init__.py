"""Finding lymph nodes and calling them positive or negative (Sec. III-A)."""
