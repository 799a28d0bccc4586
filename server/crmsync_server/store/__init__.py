"""The only room that speaks SQL: one module per noun, one statement per file under sql/."""
